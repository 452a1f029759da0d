"""From the bytes of a batch's columns to arrays, without a Python step per sample.

A column of a batch comes as one byte buffer and N + 1 offsets. Arrays are all one-dimensional.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import UserError
from engine.native import ColumnView, NativeError


@dataclass(frozen=True)
class Ragged:
    """N rows of different lengths, back to back: `values` [total], `offsets` int64 [N + 1]."""

    values: NDArray[Any]
    offsets: NDArray[np.int64]

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Values in each row, int64 [N]."""
        return np.diff(self.offsets)

    def padded(self, width: int, fill: Any) -> NDArray[Any]:
        """Return the rows as [N, width], filled up with `fill`; longer rows are cut."""
        column = np.arange(width)
        inside = column < self.lengths[:, None]
        out = np.full(inside.shape, fill, self.values.dtype)
        out[inside] = self.values[(self.offsets[:-1, None] + column)[inside]]
        return out


def decode_arrays(name: str, column: ColumnView, dtype: Any) -> Ragged:
    """Decode a column of N one-dimensional `ndarray:DTYPE` values.

    Args:
        name: of the column, for the error.
        column: the encoded values of the batch.
        dtype: element type of the column.

    Raises:
        UserError: when a value is not a one-dimensional array of whole elements.
    """
    try:
        values, offsets = column.arrays(np.dtype(dtype).itemsize)
    except NativeError as error:
        raise UserError(
            f"column {name}: {error}; this is no data set of engine.shard, or the shard is damaged "
            "(python -m engine.verify)"
        ) from error
    return Ragged(values.view(dtype), offsets)


def decode_int32(data: NDArray[np.uint8]) -> NDArray[np.int32]:
    """Decode a fixed-size `int32` column to [N]."""
    return np.ascontiguousarray(data).view("<i4").astype(np.int32, copy=False)


def decode_strings(data: NDArray[np.uint8], offsets: NDArray[np.int64]) -> list[str]:
    """Decode a `str` column (UTF-8) to a list of N."""
    text = data.tobytes()
    bounds = offsets.tolist()
    return [text[a:b].decode("utf-8") for a, b in pairwise(bounds)]
