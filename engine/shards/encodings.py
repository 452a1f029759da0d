"""Column encodings of MDS v2: Python values to bytes and back.

Same bytes as `streaming.base.format.mds.encodings` of MosaicML Streaming. Left out are the encoding that runs
code when read (`pkl`) and those that decode images (`pil`, `png`, lists): image files travel verbatim as
`bytes` or `jpeg`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from engine.errors import UserError
from engine.shards.ndarray_encoding import array_codec, array_size

SCALARS = (
    "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float16", "float32", "float64",
)  # fmt: skip


@dataclass(frozen=True)
class Encoding:
    """One column's encoding.

    Attributes:
        name: As it stands in the index, e.g. `ndarray:uint16`.
        size: Bytes of every value, or None where it varies.
        encode: Value to bytes; raises TypeError or ValueError for a value that it does not take.
        decode: Bytes to value; raises ValueError for bytes that it cannot have written.
    """

    name: str
    size: int | None
    encode: Callable[[Any], bytes]
    decode: Callable[[bytes], Any]


def encoding(name: str) -> Encoding:
    """The encoding of that name.

    Raises:
        UserError: The name is unknown, or is `pkl`, whose reading runs code from the file.
    """
    found = _find(name)
    if found is not None:
        return found
    if name == "pkl":
        raise UserError(
            "column encoding 'pkl': refused, because reading it runs code from the file; "
            "store the value as json, ndarray or bytes"
        )
    known = ", ".join(["bytes", "str", "int", "json", "jpeg", *SCALARS, "ndarray[:dtype[:shape]]"])
    raise UserError(f"column encoding {name!r}: unknown; expected one of {known}")


def encode_value(name: str, value: Any) -> bytes:
    """Encodes one value; `bytes` are taken as already encoded whatever the encoding, as MDSWriter does."""
    return value if isinstance(value, bytes) else encoding(name).encode(value)


def encode_column(name: str, values: Sequence[Any] | np.ndarray[Any, Any]) -> list[bytes]:
    """Encodes a whole column; scalar columns in one numpy conversion."""
    if name not in SCALARS:
        encode = encoding(name).encode
        return [encode(value) for value in values]
    flat = _cast(name, values).tobytes()
    width = np.dtype(name).itemsize
    return [flat[at : at + width] for at in range(0, len(flat), width)]


def decode_value(name: str, data: bytes) -> Any:
    """Decodes one value; raises ValueError for bytes that the encoding cannot have written."""
    return encoding(name).decode(data)


@lru_cache(maxsize=256)
def _find(name: str) -> Encoding | None:
    if name in ("bytes", "jpeg"):
        return Encoding(name, None, _require_bytes, bytes)
    if name == "str":
        return Encoding(name, None, _encode_str, _decode_str)
    if name == "json":
        return Encoding(name, None, _encode_json, json.loads)
    if name == "int":
        return Encoding(name, 8, _encode_int, _scalar_decoder("int64", int))
    if name in SCALARS:
        return Encoding(name, np.dtype(name).itemsize, _scalar_encoder(name), _scalar_decoder(name, None))
    if name == "ndarray" or name.startswith("ndarray:"):
        codec = array_codec(name)
        return Encoding(name, array_size(codec), codec.encode, codec.decode) if codec else None
    return None


def _require_bytes(value: bytes) -> bytes:
    if not isinstance(value, bytes):
        raise TypeError(f"expected bytes, got {type(value).__name__}")
    return value


def _encode_str(value: str) -> bytes:
    if not isinstance(value, str):
        raise TypeError(f"expected str, got {type(value).__name__}")
    return value.encode()


def _decode_str(data: bytes) -> str:
    return data.decode()


def _encode_json(value: Any) -> bytes:
    return json.dumps(value.tolist() if isinstance(value, np.ndarray) else value).encode()


def _encode_int(value: int) -> bytes:
    if not isinstance(value, int):
        raise TypeError(f"expected int, got {type(value).__name__}")
    return np.int64(value).tobytes()


def _cast(name: str, values: Any) -> np.ndarray[Any, Any]:
    given = np.asarray(values)
    cast = given.astype(name)
    if cast.dtype.kind in "iu" and given.dtype.kind in "iu" and not np.array_equal(cast, given):
        raise ValueError(f"integer out of the range of {name}")
    return cast


def _scalar_encoder(name: str) -> Callable[[Any], bytes]:
    def encode(value: Any) -> bytes:
        array = _cast(name, value)
        if array.ndim != 0:
            raise ValueError(f"expected one number for {name}, got shape {array.shape}")
        return array.tobytes()

    return encode


def _scalar_decoder(name: str, convert: Callable[[Any], Any] | None) -> Callable[[bytes], Any]:
    width = np.dtype(name).itemsize

    def decode(data: bytes) -> Any:
        if len(data) != width:
            raise ValueError(f"{name}: {len(data)} bytes, expected {width}")
        value = np.frombuffer(data, name)[0]
        return convert(value) if convert else value

    return decode
