"""From the bytes of a batch's columns to arrays, without a Python step per sample.

MDS `ndarray:DTYPE` values are `[(ndim << 2) | s] [shape: ndim integers of 1 << s bytes] [values]`; ours are
all one-dimensional. A column of a batch comes as one byte buffer and N + 1 offsets.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import UserError


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


def decode_arrays(name: str, data: NDArray[np.uint8], offsets: NDArray[np.int64], dtype: Any) -> Ragged:
    """Decode a column of one-dimensional `ndarray:DTYPE` values.

    Args:
        name: of the column, for the error.
        data: uint8 [total], the encoded values of the batch back to back.
        offsets: int64 [N + 1] into `data`.
        dtype: element type of the column.

    Raises:
        UserError: when a value is not a one-dimensional array of whole elements.
    """
    first = data[offsets[:-1]] if len(data) else np.zeros(len(offsets) - 1, np.uint8)
    start = offsets[:-1] + 1 + (1 << (first & 3).astype(np.int64))
    size = offsets[1:] - start
    item = np.dtype(dtype).itemsize
    if ((first >> 2 != 1) | (size < 0) | (size % item != 0)).any():
        raise UserError(
            f"column {name}: a value is not a one-dimensional {np.dtype(dtype).name} array; "
            "this is no data set of engine.shard, or the shard is damaged (python -m engine.verify)"
        )
    ends = np.concatenate(([0], np.cumsum(size)))
    where = np.repeat(start - ends[:-1], size) + np.arange(ends[-1])
    return Ragged(data[where].view(dtype), ends // item)


def decode_int32(data: NDArray[np.uint8]) -> NDArray[np.int32]:
    """Decode a fixed-size `int32` column to [N]."""
    return np.ascontiguousarray(data).view("<i4").astype(np.int32, copy=False)


def decode_strings(data: NDArray[np.uint8], offsets: NDArray[np.int64]) -> list[str]:
    """Decode a `str` column (UTF-8) to a list of N."""
    text = data.tobytes()
    bounds = offsets.tolist()
    return [text[a:b].decode("utf-8") for a, b in pairwise(bounds)]
