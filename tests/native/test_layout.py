"""Pixels last in memory are the same pixels: layout "nhwc" is "nchw" transposed, whatever is asked for."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.native import ThreadPool, eval_batch, simd_names, train_batch
from tests.native.image_kit import picture, save
from tests.native.jpeg_kit import decoder

POOL = ThreadPool(1)
STORAGE = {"uint8": np.uint8, "float32": np.float32, "bfloat16": np.uint16, "float16": np.uint16}
FLOATS = sorted(set(STORAGE) - {"uint8"})
IMAGES = [
    save(picture("RGB", 90, 70), "JPEG", subsampling="4:2:0"),
    save(picture("RGB", 64, 81), "JPEG", subsampling="4:4:4"),
    save(picture("RGB", 75, 66), "JPEG", progressive=True),
    b"no image",
    save(picture("RGB", 63, 99), "PNG"),
    save(picture("L", 80, 80), "JPEG"),
]
BOXES = np.array([[3, 5, 51, 47]] * len(IMAGES), np.int32)
Call = Callable[..., NDArray[np.uint8]]


def both(call: Call, size: int, dtype: str, **options: Any) -> tuple[NDArray[Any], NDArray[Any]]:
    """What one call makes in each layout; it gives the same status of every image."""
    kind, count = STORAGE[dtype], len(IMAGES)
    nchw, nhwc = np.full((count, 3, size, size), 7, kind), np.full((count, size, size, 3), 8, kind)
    status = call(nchw, POOL, dtype=dtype, **options)
    assert status.tolist() == call(nhwc, POOL, dtype=dtype, layout="nhwc", **options).tolist()
    assert np.flatnonzero(status).tolist() == [3]
    return nchw, nhwc


@pytest.mark.parametrize("size", [1, 5, 16, 33, 64])
@pytest.mark.parametrize("transform", ["exact", "fast"])
@pytest.mark.parametrize("dtype", STORAGE)
def test_training(dtype: str, transform: str, size: int) -> None:
    nchw, nhwc = both(partial(train_batch, IMAGES, BOXES), size, dtype, transform=transform)
    assert len(np.unique(nchw)) > 2
    np.testing.assert_array_equal(nhwc, nchw.transpose(0, 2, 3, 1))


@pytest.mark.parametrize("size", [1, 16, 33])
@pytest.mark.parametrize(
    ("fit", "dtype"),
    [
        *((fit, dtype) for fit in ("torchvision", "transformers", "squash") for dtype in STORAGE),
        *(("tensorflow", dtype) for dtype in FLOATS),
    ],
)
def test_evaluation(fit: str, dtype: str, size: int) -> None:
    nchw, nhwc = both(partial(eval_batch, IMAGES), size, dtype, fit=fit)
    assert len(np.unique(nchw)) > 2
    np.testing.assert_array_equal(nhwc, nchw.transpose(0, 2, 3, 1))


@pytest.mark.parametrize("order", ["pillow11", "pillow13"])
@pytest.mark.parametrize("simd", simd_names())
def test_every_instruction_set(simd: str, order: str) -> None:
    with decoder("auto", simd):
        nchw, nhwc = both(partial(train_batch, IMAGES, BOXES), 61, "uint8", pass_order=order)
    np.testing.assert_array_equal(nhwc, nchw.transpose(0, 2, 3, 1))


@pytest.mark.parametrize(
    ("layout", "shape"), [("nhwc", (6, 3, 8, 8)), ("nhwc", (6, 8, 9, 3)), ("nchw", (6, 8, 8, 3))]
)
def test_another_shape_is_refused(layout: str, shape: tuple[int, ...]) -> None:
    expected = r"\[6, S, S, 3\]" if layout == "nhwc" else r"\[6, 3, S, S\]"
    for call in (partial(train_batch, IMAGES, BOXES), partial(eval_batch, IMAGES)):
        with pytest.raises(ValueError, match=f"expected {expected}"):
            call(np.zeros(shape, np.uint8), POOL, layout=layout)


def test_another_layout_is_refused() -> None:
    with pytest.raises(ValueError, match="layout: 'chwn' given, expected 'nchw' or 'nhwc'"):
        eval_batch(IMAGES, np.zeros((6, 3, 8, 8), np.uint8), POOL, layout="chwn")
