"""Pillow's bicubic resize written once more, in numpy, from its published arithmetic; slow and obvious."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

PRECISION_BITS = 22


def _cubic(x: float) -> float:
    x = abs(x)
    if x < 1:
        return (1.5 * x - 2.5) * x * x + 1
    return -0.5 * (((x - 5) * x + 8) * x - 4) if x < 2 else 0.0


def _weight_matrix(size_in: int, size_out: int) -> NDArray[np.int64]:
    """int64 [out, in], fixed-point weights."""
    matrix = np.zeros((size_out, size_in), dtype=np.int64)
    scale = size_in / size_out
    filter_scale = max(scale, 1.0)
    for i in range(size_out):
        centre = (i + 0.5) * scale
        first = max(0, int(centre - 2 * filter_scale + 0.5))
        last = min(size_in, int(centre + 2 * filter_scale + 0.5))
        weights = [_cubic((x - centre + 0.5) * (1.0 / filter_scale)) for x in range(first, last)]
        total = 0.0
        for weight in weights:  # not sum(), which compensates rounding from Python 3.12 on
            total += weight
        for x, weight in enumerate(weights, first):
            matrix[i, x] = int(weight / total * 2**PRECISION_BITS + math.copysign(0.5, weight))
    return matrix


def _pass(image: NDArray[np.uint8], size_out: int, axis: int) -> NDArray[np.uint8]:
    if image.shape[axis] == size_out:
        return image
    sums = np.tensordot(_weight_matrix(image.shape[axis], size_out), image.astype(np.int64), axes=(1, axis))
    rounded = (sums + (1 << (PRECISION_BITS - 1))) >> PRECISION_BITS
    return np.moveaxis(np.clip(rounded, 0, 255), 0, axis).astype(np.uint8)


def resize(image: NDArray[np.uint8], width: int, height: int, pass_order: str) -> NDArray[np.uint8]:
    """uint8 [H, W, 3] -> uint8 [height, width, 3]."""
    rows_lost, columns_lost = image.shape[0] - height, image.shape[1] - width
    vertical_first = pass_order == "pillow13" and rows_lost > 0 and rows_lost > 2 * columns_lost
    for axis in (0, 1) if vertical_first else (1, 0):
        image = _pass(image, (height, width)[axis], axis)
    return image
