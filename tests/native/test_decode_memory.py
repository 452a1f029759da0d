"""Small files that announce large images must not take large memory."""

from __future__ import annotations

import resource
import struct
import subprocess
import sys
import zlib

import pytest

from tests.native.image_kit import picture, save
from tests.native.png_kit import chunk, header

_CHILD = """
import resource, sys
from engine.native import NativeError, decode_rgb
data = sys.stdin.buffer.read()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    print("ok", decode_rgb(data).shape)
except NativeError as error:
    print(error.name)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def _jpeg(width: int, height: int, progressive: bool = False) -> bytes:
    data = save(picture("RGB", 64, 64), "JPEG", progressive=progressive)
    at = data.index(b"\xff\xc2" if progressive else b"\xff\xc0") + 5
    return data[:at] + struct.pack(">HH", height, width) + data[at + 4 :]


def _png(width: int, height: int) -> bytes:
    zeros = zlib.compress(bytes(1 << 20), 9)
    return header(width, height, 8, 6) + chunk(b"IDAT", zeros) + chunk(b"IEND", b"")


@pytest.mark.skipif(not hasattr(resource, "getrusage"), reason="needs getrusage")
@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (_jpeg(65000, 65000), "side_too_large"),
        (_jpeg(16000, 16000, progressive=True), "too_many_pixels"),
        (_png(2**31 - 1, 2**31 - 1), "side_too_large"),
        (_png(16000, 16000), "too_many_pixels"),
        (_png(8000, 8000), "truncated"),
        (_jpeg(8000, 8000), "truncated"),
    ],
    ids=["jpeg side", "jpeg pixels", "png side", "png pixels", "png empty", "jpeg empty"],
)
def test_bombs_are_refused_in_little_memory(data: bytes, expected: str) -> None:
    child = subprocess.run([sys.executable, "-c", _CHILD], input=data, capture_output=True, check=True)
    name, megabytes = child.stdout.decode().split("\n")[:2]
    assert name.split()[0] in {
        expected,
        "ok",
    }  # libjpeg fills in for missing data after a marker, as for Pillow
    assert int(megabytes) < (400 if name.startswith("ok") else 64)
