"""Our own baseline JPEG decoder gives libjpeg-turbo's pixels, or leaves the file to it."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from engine.native import NativeError, decode_rgb, set_jpeg, simd_names
from tests.native.image_kit import SHARED, assert_same, native_rgb, save
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
