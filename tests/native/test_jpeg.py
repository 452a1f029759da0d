"""Our own baseline JPEG decoder gives libjpeg-turbo's pixels, or leaves the file to it."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
from PIL import Image

from engine.native import (
    NativeError,
    Status,
    ThreadPool,
    decode_rgb,
    eval_batch,
    probe,
    set_jpeg,
    simd_names,
    train_batch,
)
from tests.native.image_kit import SHARED, assert_same, native_rgb, picture, save
from tests.native.jpeg_kit import decoder, irregular, regular

SIMD = simd_names()


def library_rgb(data: bytes) -> np.ndarray | None:
    """libjpeg-turbo's pixels, or None where it refuses."""
    with decoder("library"):
        return native_rgb(data)


@pytest.mark.parametrize("simd", SIMD)
def test_regular_files_decode_to_the_librarys_pixels(simd: str) -> None:
    for name, data in regular().items():
        expected = library_rgb(data)
        with decoder("own", simd):
            np.testing.assert_array_equal(decode_rgb(data), expected, err_msg=name)


def test_regular_files_decode_to_pillows_pixels() -> None:
    for name, data in regular().items():
        assert_same(data, name)


@pytest.mark.parametrize("simd", SIMD)
@pytest.mark.parametrize("name", irregular())
def test_irregular_files_are_left_to_the_library(name: str, simd: str) -> None:
    data = irregular()[name]
    with decoder("own", simd), pytest.raises(NativeError) as error:
        decode_rgb(data)
    assert error.value.name == "unsupported_variant"
    ours, expected = native_rgb(data), library_rgb(data)
    assert (ours is None) == (expected is None)
    if ours is not None:
        np.testing.assert_array_equal(ours, expected)


@pytest.mark.parametrize("simd", SIMD)
def test_every_colour(simd: str) -> None:
    """Flat blocks, chroma over its whole range, luma in steps."""
    for luma in (0, 77, 128, 255):
        data = flat_blocks(luma)
        with decoder("own", simd):
            ours = decode_rgb(data)
        np.testing.assert_array_equal(ours, library_rgb(data))


def flat_blocks(luma: int) -> bytes:
    """4:4:4, quality 100, one pair of chroma values a block: 32 x 32 of them."""
    values = np.linspace(0, 255, 32).astype(np.uint8)
    cb, cr = np.meshgrid(values, values)
    planes = [np.kron(plane, np.ones((8, 8), np.uint8)) for plane in (np.full_like(cb, luma), cb, cr)]
    image = Image.merge("YCbCr", [Image.fromarray(plane) for plane in planes])
    return save(image, "JPEG", quality=100, subsampling="4:4:4")


def test_every_sample_file_is_equal() -> None:
    """The originals at hand, and how many of them take our own way."""
    files = sorted((SHARED / "imagenet_sample_orig").rglob("*.JPEG"))[:24]
    if not files:
        pytest.skip("needs shared data: set VECLIP_SHARED_DATA")
    for file in files:
        data = file.read_bytes()
        np.testing.assert_array_equal(decode_rgb(data), library_rgb(data), err_msg=file.name)


def test_unknown_decoders_are_refused() -> None:
    with pytest.raises(ValueError, match="expected 'auto', 'own' or 'library'"):
        set_jpeg("turbo")  # type: ignore[arg-type]


@pytest.mark.parametrize("simd", SIMD)
@pytest.mark.parametrize("order", ["pillow11", "pillow13"])
def test_transforms_equal_the_librarys(order: Literal["pillow11", "pillow13"], simd: str) -> None:
    """Every file, a box in it and its centre, decoded row by row and by the library as a whole."""
    images = [*regular().values(), *irregular().values()]
    results = []
    for name in ("auto", "library"):
        with decoder(name, simd):
            results.append(transform_all(images, order))
    for ours, expected in zip(*results, strict=True):
        np.testing.assert_array_equal(ours, expected)


def transform_all(images: list[bytes], order: Literal["pillow11", "pillow13"]) -> list[np.ndarray]:
    """Training crops, evaluation crops, and the status of each, for the boxes of seed 0."""
    pool = ThreadPool(1)
    rng = np.random.default_rng(0)
    boxes = np.array([random_box(data, rng) for data in images], dtype=np.int32)
    train = np.empty((len(images), 3, 48, 48), dtype=np.uint8)
    centre = np.empty_like(train)
    statuses = train_batch(images, boxes, train, pool, pass_order=order)
    return [train, statuses, centre, eval_batch(images, centre, pool, pass_order=order)]


def random_box(data: bytes, rng: np.random.Generator) -> tuple[int, int, int, int]:
    """A box (left, top, width, height) within the image."""
    info = probe(data)
    width, height = rng.integers(1, info.width + 1), rng.integers(1, info.height + 1)
    return rng.integers(0, info.width - width + 1), rng.integers(0, info.height - height + 1), width, height


def test_damage_below_the_box_counts_as_before() -> None:
    """The status does not depend on the crop: all of the data is read."""
    whole = save(picture("RGB", 200, 200), "JPEG", quality=95)
    boxes = np.array([[0, 0, 200, 8]], dtype=np.int32)
    for end in range(len(whole) // 2, len(whole), 97):
        statuses = []
        for name in ("auto", "library"):
            out = np.empty((1, 3, 16, 16), dtype=np.uint8)
            with decoder(name):
                statuses.append(train_batch([whole[:end]], boxes, out, ThreadPool(1))[0])
        assert statuses[0] == statuses[1] != Status.OK, end
