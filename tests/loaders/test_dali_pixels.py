"""How far DALI's pixels (its CPU mode here) are from the exact ones: at least 38 dB, whatever the image."""

from __future__ import annotations

import io
from collections.abc import Iterator
from itertools import product

import numpy as np
import pytest
from PIL import Image

from benchmarks.decoders.compare import Comparison, Result
from benchmarks.images import Named, read_images
from loaders.dali import LEAST_SIDE
from tests.loaders.dali_kit import FORMS, LEAST_DB, ODD_FORMS, encode, photo
from tests.native.image_kit import SHARED

PLAIN = [form for form in FORMS if form not in ODD_FORMS]
# Odd ones end amid a chroma sample; 1 to 17 lie within one block of 4:2:0 or a little beyond.
TINY = [1, 2, 3, 5, 8, 9, 15, 16, 17, 31, 40]
LONG = [(301, 203), (700, 37), (23, 600), (2, 900), (900, 1), (333, 480)]
WIDE = (0.08, 1.0)
SETS = {"cc_web": 60, "coco": 20, "flickr8k": 60, "imagenet_sample_orig": 24, "imagenet_sample_224": 40,
        "openstax": 20, "emoji_captions": 10, "odd_images": 120, "cifar10_test": 60}  # fmt: skip


def made(sizes: list[tuple[int, int]]) -> Iterator[Named]:
    rng = np.random.default_rng(3)
    for (width, height), form in product(sizes, PLAIN):
        yield Named(f"{form} {width} x {height}", encode(photo(rng, width, height), form))


def assert_close(results: list[Result]) -> None:
    """What DALI decoded is close, what our own core did is equal."""
    for result in results:
        assert result.psnr >= LEAST_DB if not result.left else result.largest == 0, result


@pytest.mark.parametrize(("size", "scale"), [(64, (0.9, 1.0)), (64, WIDE), (224, WIDE)])
def test_made_images_of_every_size(size: int, scale: tuple[float, float]) -> None:
    images = list(made([*product(TINY, TINY[::2]), *LONG]))
    results = list(Comparison(size, scale, 1).results(images))
    assert len(results) == len(images)
    for result in results:
        # libjpeg does not smooth chroma of images up to 4 pixels wide, so that decoders differ
        narrow = int(result.name.split()[1]) <= 4
        small = min(result.box[2:]) < LEAST_SIDE
        assert bool(result.left) == small or narrow, result
    assert_close(results)


def test_a_photograph_that_says_how_it_was_held_is_not_turned() -> None:
    rng, images = np.random.default_rng(4), []
    for held, (width, height) in product(range(1, 9), ((60, 100), (100, 60), (64, 64))):
        exif, file = Image.Exif(), io.BytesIO()
        exif[0x112] = held
        photo(rng, width, height).save(file, "JPEG", quality=90, exif=exif)
        images.append(Named(f"held {held}", file.getvalue()))
    results = list(Comparison(64, WIDE, 1).results(images))
    assert [result.left for result in results] == [""] * len(images)
    assert_close(results)


@pytest.mark.parametrize("scale", [(0.9, 1.0), WIDE])
def test_real_images(scale: tuple[float, float]) -> None:
    if not SHARED.is_dir():
        pytest.skip("needs shared data: set VECLIP_SHARED_DATA")
    images = [
        named for name, most in SETS.items() for named in read_images([SHARED / name], most) if named.data
    ]
    results = list(Comparison(224, scale, 1).results(images))
    assert sum(not result.left for result in results) >= 200
    assert_close(results)
