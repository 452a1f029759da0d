"""The `ndarray`, `ndarray:DTYPE` and `ndarray:DTYPE:SHAPE` encodings of MDS v2.

Bytes: [dtype code, unless named] [ndim << 2 | width code, then the shape, unless named] [values in C order].
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

_DTYPE_CODES = {
    "uint8": 8, "int8": 9, "uint16": 16, "int16": 17, "float16": 18, "uint32": 32, "int32": 33, "float32": 34,
    "uint64": 64, "int64": 65, "float64": 66,
}  # fmt: skip
_DTYPES = {code: name for name, code in _DTYPE_CODES.items()}
_SHAPE_DTYPES = ("uint8", "uint16", "uint32", "uint64")
_MAX_DIMS = 63  # six bits

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class ArrayCodec:
    """Encodes arrays of a named or free dtype and shape."""

    dtype: str | None
    shape: tuple[int, ...] | None

    def encode(self, value: Array) -> bytes:
        """Array to bytes; empty and zero-dimensional arrays have no encoding in MDS."""
        self._check(value)
        head = b"" if self.dtype else bytes([_DTYPE_CODES[value.dtype.name]])
        if self.shape is None:
            head += _shape_bytes(value.shape)
        return head + value.tobytes()

    def decode(self, data: bytes) -> Array:
        """Bytes to a read-only array over them."""
        at = 0
        dtype = self.dtype
        if dtype is None:
            dtype = _DTYPES.get(data[0] if data else -1)
            if dtype is None:
                raise ValueError("ndarray: unknown dtype code")
            at = 1
        shape = self.shape
        if shape is None:
            shape, at = _read_shape(data, at)
        if len(data) - at != math.prod(shape) * np.dtype(dtype).itemsize:
            raise ValueError(f"ndarray: {len(data) - at} bytes of values, expected {dtype} of shape {shape}")
        return np.frombuffer(data, dtype, offset=at).reshape(shape)

    def _check(self, value: Array) -> None:
        if not isinstance(value, np.ndarray):
            raise TypeError(f"expected a numpy array, got {type(value).__name__}")
        if value.dtype.name not in _DTYPE_CODES or not value.dtype.isnative:
            raise ValueError(f"dtype {value.dtype}: expected a native {', '.join(_DTYPE_CODES)}")
        if self.dtype is not None and value.dtype != self.dtype:
            raise ValueError(f"dtype {value.dtype}: expected {self.dtype}")
        if self.shape is not None and value.shape != self.shape:
            raise ValueError(f"shape {value.shape}: expected {self.shape}")
        if value.size == 0 or not 1 <= value.ndim <= _MAX_DIMS:
            raise ValueError(f"shape {value.shape}: expected 1 to {_MAX_DIMS} dimensions and no empty one")


def array_codec(name: str) -> ArrayCodec | None:
    """Parses an encoding name; None if it is not one of an array."""
    parts = name.split(":")
    if parts[0] != "ndarray" or len(parts) > 3:
        return None
    dtype = parts[1] if len(parts) > 1 else None
    if dtype is not None and dtype not in _DTYPE_CODES:
        return None
    if len(parts) < 3:
        return ArrayCodec(dtype, None)
    dims = parts[2].split(",")
    if not all(dim.isascii() and dim.isdigit() and int(dim) > 0 for dim in dims):
        return None
    return ArrayCodec(dtype, tuple(int(dim) for dim in dims))


def array_size(codec: ArrayCodec) -> int | None:
    """Bytes of every value where dtype and shape are named, else None."""
    if codec.dtype is None or codec.shape is None:
        return None
    return math.prod(codec.shape) * np.dtype(codec.dtype).itemsize


def _shape_bytes(shape: tuple[int, ...]) -> bytes:
    code = next(c for c in range(4) if max(shape) < 1 << (8 << c))
    return bytes([len(shape) << 2 | code]) + np.array(shape, _SHAPE_DTYPES[code]).tobytes()


def _read_shape(data: bytes, at: int) -> tuple[tuple[int, ...], int]:
    if at >= len(data):
        raise ValueError("ndarray: the shape is missing")
    ndim, code = data[at] >> 2, data[at] & 3
    begin, end = at + 1, at + 1 + (ndim << code)
    if ndim == 0 or end > len(data):
        raise ValueError("ndarray: the shape is cut off")
    shape = tuple(int(n) for n in np.frombuffer(data[begin:end], _SHAPE_DTYPES[code]))
    if 0 in shape:
        raise ValueError(f"ndarray: shape {shape} has an empty dimension")
    return shape, end
