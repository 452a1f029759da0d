"""Baseline JPEG files in every form that our own decoder takes, and some that it must leave alone."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from itertools import product
from typing import Literal

import numpy as np
from PIL import Image

from engine.native import set_jpeg, set_simd
from tests.native.image_kit import picture, save

SIZES = [(1, 1), (5, 3), (8, 8), (16, 16), (17, 33), (31, 9), (64, 48), (130, 70)]
SAMPLINGS = ("4:4:4", "4:2:2", "4:2:0", "4:4:0")


@contextmanager
def decoder(name: Literal["auto", "own", "library"], simd: str = "auto") -> Iterator[None]:
    """JPEG files go to this decoder within."""
    set_jpeg(name)
    set_simd(simd)
    try:
        yield
    finally:
        set_jpeg("auto")
        set_simd("auto")


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    """Pixels without any structure: every coefficient is large."""
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(0, 2, (height, width, 3), dtype=np.uint8) * np.uint8(255))


def with_tall_chroma(data: bytes) -> bytes:
    """A 4:2:2 file read as 4:4:0: the MCUs are the same, each now stands upright."""
    at = data.index(b"\xff\xc0")
    height, width = struct.unpack_from(">HH", data, at + 5)
    assert data[at + 11] == 0x21
    upright = struct.pack(">HH", -(-height // 8) * 16, -(-width // 16) * 8)
    return data[: at + 5] + upright + data[at + 9 : at + 11] + b"\x12" + data[at + 12 :]


def encode(image: Image.Image, sampling: str, **options: object) -> bytes:
    """A baseline file with the given chroma sampling."""
    if sampling == "4:4:0":
        return with_tall_chroma(save(image, "JPEG", subsampling="4:2:2", **options))
    return save(image, "JPEG", subsampling=sampling, **options)


@cache
def regular() -> dict[str, bytes]:
    """Files that our own decoder has to take."""
    files = {}
    for (width, height), sampling in product(SIZES, SAMPLINGS):
        if width <= 4 and sampling != "4:4:4":
            continue
        for quality, restart in [(5, 0), (75, 1), (90, 0), (100, 2)]:
            name = f"{width}x{height} {sampling} q{quality} r{restart}"
            options = {"quality": quality, "restart_marker_blocks": restart}
            files[name] = encode(picture("RGB", width, height), sampling, **options)
    for sampling, quality in product(SAMPLINGS, (30, 95)):
        files[f"noise {sampling} q{quality}"] = encode(noise(70, 50), sampling, quality=quality)
        files[f"optimised {sampling} q{quality}"] = encode(
            picture("RGB", 120, 90), sampling, quality=quality, optimize=True
        )
    for width, height in SIZES:
        files[f"grey {width}x{height}"] = save(picture("L", width, height), "JPEG", quality=85)
    files["rows of restarts"] = save(picture("RGB", 200, 100), "JPEG", restart_marker_rows=1)
    files["trailing bytes"] = save(picture("RGB"), "JPEG") + b"after the end"
    return files


def first_of_progressive(data: bytes) -> bytes:
    """A baseline file's data announced as a progressive file's first scan: coefficient 0 alone."""
    frame, scan = data.index(b"\xff\xc0"), data.index(b"\xff\xda")
    assert data[scan + 11 : scan + 14] == b"\0\x3f\0"
    return data[:frame] + b"\xff\xc2" + data[frame + 2 : scan + 12] + b"\0" + data[scan + 13 :]


@cache
def irregular() -> dict[str, bytes]:
    """Files that libjpeg decodes, at least in part, and that are none of our business."""
    base = save(picture("RGB"), "JPEG")
    end = base.rindex(b"\xff\xd9")
    scan = base.index(b"\xff\xda")
    coded = scan + 2 + struct.unpack_from(">H", base, scan + 2)[0]
    steps = [value for table in (16, 17) for value in [table] * 64]
    return {
        "progressive": save(picture("RGB"), "JPEG", progressive=True),
        "progressive by its headers alone": first_of_progressive(base),
        "cmyk": save(picture("CMYK"), "JPEG"),
        "rgb": save(picture("RGB"), "JPEG", keep_rgb=True),
        "narrow": save(picture("RGB", 3, 9), "JPEG", subsampling="4:2:0"),
        "16-bit steps": save(picture("RGB"), "JPEG", qtables=[[300 + v for v in steps[:64]], steps[64:]]),
        "no end": base[:end],
        "junk before the end": base[:end] + b"\x12\x34" + base[end:],
        "fill bytes before the end": base[:end] + b"\xff\xff" + base[end:],
        "a comment before the end": base[:end] + b"\xff\xfe\0\4ab" + base[end:],
        "a restart marker that is not due": base[: coded + 300] + b"\xff\xd0" + base[coded + 300 :],
        "half of the data": base[: coded + (end - coded) // 2] + base[end:],
        "data of ones": base[:coded] + b"\xff\0" * 400 + base[end:],
        "data of zeros": base[:coded] + bytes(4000) + base[end:],
        "missing restart": save(picture("RGB", 64, 64), "JPEG", restart_marker_blocks=4).replace(
            b"\xff\xd0", b"\xff\xd1", 1
        ),
    }
