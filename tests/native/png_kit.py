"""PNG files that Pillow cannot write: any depth and colour type, interlaced, with chunks of one's choice."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable

import numpy as np

ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
DEPTHS = [(1, 0), (2, 0), (4, 0), (8, 0), (16, 0), (8, 2), (16, 2), (1, 3), (2, 3), (4, 3), (8, 3)]
DEPTHS += [(8, 4), (16, 4), (8, 6), (16, 6)]


def chunk(name: bytes, data: bytes) -> bytes:
    """One chunk with its checksum."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def header(width: int, height: int, depth: int, colour: int, interlace: int = 0) -> bytes:
    """Magic bytes and IHDR."""
    fields = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", fields)


def rows(width: int, height: int, bits: int, interlace: bool, seed: int) -> bytes:
    """Random filtered rows; every filter type occurs, and any bytes are valid rows."""
    rng = np.random.default_rng(seed)
    out = b""
    for x0, y0, dx, dy in ADAM7 if interlace else ((0, 0, 1, 1),):
        columns, lines = -(-(width - x0) // dx), -(-(height - y0) // dy)
        if columns > 0:
            size = (columns * bits + 7) // 8
            out += b"".join(bytes([rng.integers(5)]) + rng.bytes(size) for _ in range(max(lines, 0)))
    return out


def make(
    width: int, height: int, depth: int, colour: int, interlace: bool = False, extra: Iterable[bytes] = ()
) -> bytes:
    """A complete file with random pixels; `extra` chunks stand before the image data."""
    bits = depth * CHANNELS[colour]
    palette = chunk(b"PLTE", bytes(range(3 * min(2**depth, 200)))[:600]) if colour == 3 and depth < 8 else b""
    if colour == 3 and depth == 8:
        palette = chunk(b"PLTE", np.random.default_rng(1).bytes(3 * 200))
    data = zlib.compress(rows(width, height, bits, interlace, width * 31 + height))
    body = chunk(b"IDAT", data[: len(data) // 2]) + chunk(b"IDAT", data[len(data) // 2 :])
    return (
        header(width, height, depth, colour, int(interlace))
        + palette
        + b"".join(extra)
        + body
        + chunk(b"IEND", b"")
    )
