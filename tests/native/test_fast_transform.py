"""The fast mode stays close to the exact transform, and is it where there is nothing to gain."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from benchmarks.jpeg import Work, error, make_small
from engine.native import ThreadPool, simd_names, train_batch
from tests.native.image_kit import SHARED, picture, save
from tests.native.jpeg_kit import SAMPLINGS, decoder, encode

SUBSAMPLED = SAMPLINGS[1:]


def crop(data: bytes, box: tuple[int, int, int, int], transform: str, size: int = 48) -> np.ndarray:
    out = np.empty((1, 3, size, size), dtype=np.uint8)
    boxes = np.array([box], dtype=np.int32)
    assert not train_batch([data], boxes, out, ThreadPool(1), transform=transform).any()
    return out


@pytest.mark.parametrize("sampling", ["4:2:2", "4:2:0"])
@pytest.mark.parametrize("box", [(0, 0, 160, 120), (1, 1, 101, 77), (33, 8, 64, 111), (7, 5, 1, 1)])
def test_smooth_images_hardly_change(sampling: str, box: tuple[int, int, int, int]) -> None:
    """Where chroma is smooth the two orders of work agree, whatever the parity of the box."""
    y, x = np.mgrid[0:120, 0:160]
    planes = np.stack([x, y * 2, 255 - x], axis=-1).astype(np.uint8)
    data = encode(Image.fromarray(planes), sampling, quality=95)
    difference = crop(data, box, "fast").astype(int) - crop(data, box, "exact")
    assert np.abs(difference).max() <= 8
    assert np.abs(difference).mean() <= 1.0


@pytest.mark.parametrize("simd", simd_names())
def test_every_instruction_set_gives_the_same(simd: str) -> None:
    images = [encode(picture("RGB", 97, 83), sampling, quality=90) for sampling in SUBSAMPLED]
    for data in images:
        expected = crop(data, (3, 5, 50, 71), "fast", 33)
        with decoder("auto", simd):
            np.testing.assert_array_equal(crop(data, (3, 5, 50, 71), "fast", 33), expected)


@pytest.mark.parametrize(
    "data",
    [
        save(picture("RGB"), "JPEG", subsampling="4:4:4"),
        save(picture("L"), "JPEG"),
        save(picture("RGB"), "JPEG", progressive=True),
        save(picture("RGB"), "PNG"),
    ],
    ids=["4:4:4", "grey", "progressive", "png"],
)
def test_other_files_stay_exact(data: bytes) -> None:
    box = (2, 3, 50, 40)
    np.testing.assert_array_equal(crop(data, box, "fast"), crop(data, box, "exact"))


def test_error_on_photos() -> None:
    """The bound that the fast mode promises, on originals and stored small."""
    files = sorted((SHARED / "imagenet_sample_orig").rglob("*.JPEG"))[::8]
    if not files:
        pytest.skip("needs shared data: set VECLIP_SHARED_DATA")
    originals = [file.read_bytes() for file in files]
    for images in (originals, [make_small(data) for data in originals]):
        work = Work(images)
        mean, psnr = error(work.pixels("exact"), work.pixels("fast"))
        assert mean <= 0.6
        assert psnr >= 47


def test_unknown_transforms_are_refused() -> None:
    with pytest.raises(ValueError, match="expected 'exact' or 'fast'"):
        crop(save(picture("RGB"), "JPEG"), (0, 0, 8, 8), "quick")
