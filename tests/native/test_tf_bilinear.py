"""TensorFlow's resize without antialiasing: against what it gave, and against its definition at any size."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from engine.native import Status, ThreadPool, eval_batch
from tests.native.make_tf_bilinear import SHAPES, SIZE, pixels

GOLDEN = Path(__file__).parent / "golden" / "tf_bilinear.npz"
MEAN, STD = np.float32([0.48145466, 0.4578275, 0.40821073]), np.float32([0.26862954, 0.26130258, 0.27577711])
POOL = ThreadPool(1)
TOLERANCE = 1e-4  # of the normalised value


def file_of(image: NDArray[np.uint8], kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, kind)
    return file.getvalue()


def transformed(file: bytes, size: int) -> NDArray[np.float32]:
    out = np.full((1, 3, size, size), 7, np.float32)
    assert eval_batch([file], out, POOL, dtype="float32", fit="tensorflow")[0] == Status.OK
    return out[0]


def normalised(image: NDArray[np.float32]) -> NDArray[np.float32]:
    return ((image - MEAN * 255) / (STD * 255)).transpose(2, 0, 1)


def by_definition(image: NDArray[np.uint8], size: int) -> NDArray[np.float32]:
    """Both sides times one factor, pixel centres at halves, two neighbours each way; in float64."""
    height, width = image.shape[:2]
    factor = np.float32(size) / np.float32(min(width, height))
    full = [round(float(factor * np.float32(side))) for side in (height, width)]
    whole = image.astype(np.float64)
    for axis, (old, new) in enumerate(zip((height, width), full, strict=True)):
        at = (np.arange(new) + 0.5) * (old / new) - 0.5
        low = np.clip(np.floor(at).astype(int), 0, old - 1)
        high = np.clip(np.ceil(at).astype(int), 0, old - 1)
        share = (at - np.floor(at)).reshape([-1 if axis == i else 1 for i in range(3)])
        whole = whole.take(low, axis) * (1 - share) + whole.take(high, axis) * share
    top, left = ((side - size) // 2 for side in full)
    return normalised(whole[top : top + size, left : left + size].astype(np.float32))


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: f"{shape[0]}x{shape[1]}")
def test_it_is_what_tensorflow_gave(shape: tuple[int, int]) -> None:
    expected = normalised(np.load(GOLDEN)[f"{shape[0]}x{shape[1]}"])
    np.testing.assert_allclose(transformed(file_of(pixels(*shape)), SIZE), expected, rtol=0, atol=TOLERANCE)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 200), st.integers(1, 200), st.integers(1, 64))
def test_it_is_the_definition_at_any_size(width: int, height: int, size: int) -> None:
    image = pixels(width, height)
    found, expected = transformed(file_of(image), size), by_definition(image, size)
    # A float32 position may fall on the other side of a pixel's centre, where both give nearly the same.
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-3)
    assert np.abs(found - expected).mean() < TOLERANCE


def test_jpeg_is_decoded_as_everywhere() -> None:
    file = file_of(pixels(61, 47), "JPEG")
    with Image.open(io.BytesIO(file)) as decoded:
        expected = by_definition(np.asarray(decoded.convert("RGB")), 32)
    np.testing.assert_allclose(transformed(file, 32), expected, rtol=0, atol=2e-3)


def test_what_it_cannot_make() -> None:
    out = np.zeros((1, 3, 8, 8), np.uint8)
    with pytest.raises(ValueError, match="fit 'tensorflow' makes 'float32', 'bfloat16' or 'float16'"):
        eval_batch([file_of(pixels(9, 9))], out, POOL, fit="tensorflow")
    # Beyond a ratio of 100,000 to the size, TensorFlow itself makes the short side shorter than asked for.
    long = np.zeros((1, 1600, 3), np.uint8)
    floats = np.ones((1, 3, 64, 64), np.float32)
    status = eval_batch([file_of(long)], floats, POOL, dtype="float32", fit="tensorflow")
    assert status[0] == Status.BAD_ARGUMENT
    assert not floats.any()
