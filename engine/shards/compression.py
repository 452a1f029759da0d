"""`zstd[:LEVEL]`, the one compression that is written and read; bounded by what the index announces."""

from __future__ import annotations

import zstandard

from engine.errors import UserError

EXTENSION = "zstd"
_DEFAULT_LEVEL = 3  # as MosaicML's `zstd` without a level
_LEVELS = range(1, 23)


def parse_compression(spec: str) -> int:
    """The zstd level of `zstd` or `zstd:LEVEL`.

    Raises:
        UserError: Any other text.
    """
    name, colon, level = str(spec).partition(":")
    if name == EXTENSION and not colon:
        return _DEFAULT_LEVEL
    if name == EXTENSION and level.isascii() and level.isdigit() and int(level) in _LEVELS:
        return int(level)
    raise UserError(f"compression {spec!r}: expected zstd or zstd:1 to zstd:22")


def compress(data: bytes, spec: str) -> bytes:
    """One frame that carries its content size, which stock Streaming needs to read it."""
    compressor = zstandard.ZstdCompressor(level=parse_compression(spec), write_content_size=True)
    return compressor.compress(data)


def decompress(data: bytes, expected_bytes: int) -> bytes:
    """Undoes `compress`; never makes more than `expected_bytes`, what the index says of the raw file.

    Raises:
        ValueError: The frame is damaged, announces or holds another size, or is followed by something.
    """
    try:
        announced = zstandard.frame_content_size(data)
        if announced not in (-1, expected_bytes):
            raise ValueError(f"zstd frame announces {announced} bytes, the index {expected_bytes}")
        raw = zstandard.ZstdDecompressor().decompress(
            data, max_output_size=expected_bytes, allow_extra_data=False
        )
    except zstandard.ZstdError as error:
        raise ValueError(f"zstd: {error}") from error
    if len(raw) != expected_bytes:
        raise ValueError(f"zstd frame holds {len(raw)} bytes; the index says {expected_bytes}")
    return raw
