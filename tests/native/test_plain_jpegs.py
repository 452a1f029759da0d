"""What a decoder that is not ours may be given: JPEG files that all of them read alike, and their sizes."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.native import ColumnView, Limits, NativeError, plain_jpegs, probe
from tests.native.image_kit import SHARED, assert_same, picture, save, variants
from tests.native.jpeg_kit import SAMPLINGS, irregular, regular

BASE = save(picture("RGB"), "JPEG", subsampling="4:2:0")
GREY = save(picture("L"), "JPEG")
FRAME = BASE.index(b"\xff\xc0")
SIZE = (61, 47)
REFUSED = (0, 0)


def size(data: bytes) -> tuple[int, int]:
    """What is said of one file."""
    width, height = plain_jpegs([data])[0].tolist()
    return width, height


def header_size(data: bytes) -> tuple[int, int]:
    """The native core's own reading of the header; (0, 0) where it refuses."""
    try:
        info = probe(data)
    except NativeError:
        return REFUSED
    return info.width, info.height


def patched(data: bytes, edits: dict[int, int], behind: bytes = b"\xff\xc0") -> bytes:
    """Bytes replaced at places counted from a marker."""
    out, start = bytearray(data), data.index(behind)
    for place, value in edits.items():
        out[start + place] = value
    return bytes(out)


def with_segment(marker: int, payload: bytes, data: bytes = BASE) -> bytes:
    """A segment right before the frame header."""
    segment = struct.pack(">BBH", 0xFF, marker, len(payload) + 2) + payload
    return data[:FRAME] + segment + data[FRAME:]


def adobe(transform: int) -> bytes:
    return b"Adobe" + struct.pack(">HHHB", 100, 0, 0, transform)


def without_jfif(data: bytes) -> bytes:
    assert data[2:4] == b"\xff\xe0"
    return data[:2] + data[4 + struct.unpack_from(">H", data, 4)[0] :]


def test_regular_files_are_plain() -> None:
    for name, data in regular().items():
        expected = REFUSED if name == "trailing bytes" else header_size(data)
        assert size(data) == expected, name


@pytest.mark.parametrize(("mode", "sampling"), [*(("RGB", each) for each in SAMPLINGS[:3]), ("L", "4:4:4")])
def test_progressive_files_are_plain(mode: str, sampling: str) -> None:
    assert size(save(picture(mode), "JPEG", progressive=True, subsampling=sampling)) == SIZE


@pytest.mark.parametrize(
    "data",
    [
        with_segment(0xEE, adobe(1)),
        with_segment(0xE1, b"Exif\0\0" + bytes(40) + b"\xff\xda\xff\xd9"),
        with_segment(0xFE, b"a comment"),
        without_jfif(BASE),
        patched(BASE, {1: 0xC1}),  # extended sequential, 8 bits
        patched(patched(BASE, {10: 0, 13: 1, 16: 2}), {5: 0, 7: 1, 9: 2}, b"\xff\xda"),  # components 0, 1, 2
    ],
    ids=["adobe ycc", "exif", "comment", "no jfif", "extended", "numbered from 0"],
)
def test_other_plain_files(data: bytes) -> None:
    assert size(data) == SIZE
    assert_same(data)


def rgb_named(data: bytes) -> bytes:
    """Component numbers that spell R, G, B."""
    frame = patched(data, {10: ord("R"), 13: ord("G"), 16: ord("B")})
    return patched(frame, {5: ord("R"), 7: ord("G"), 9: ord("B")}, b"\xff\xda")


OTHERS = {
    "empty": b"",
    "one byte": b"\xff",
    "markers alone": b"\xff\xd8\xff\xd9",
    "text": b"hello",
    "adobe rgb": save(picture("RGB"), "JPEG", keep_rgb=True),
    "adobe flag 0": with_segment(0xEE, adobe(0)),
    "adobe flag 2": with_segment(0xEE, adobe(2)),
    "named rgb": rgb_named(without_jfif(BASE)),
    "named rgb with jfif": rgb_named(BASE),
    "cmyk": save(picture("CMYK"), "JPEG"),
    "progressive cmyk": save(picture("CMYK"), "JPEG", progressive=True),
    "lossless": patched(BASE, {1: 0xC3}),
    "hierarchical": patched(BASE, {1: 0xC5}),
    "arithmetic": patched(BASE, {1: 0xC9}),
    "progressive arithmetic": patched(BASE, {1: 0xCA}),
    "12 bits": patched(BASE, {1: 0xC1, 4: 12}),
    "no height": patched(BASE, {5: 0, 6: 0}),
    "4:1:1": patched(BASE, {11: 0x41}),
    "chroma larger than luma": patched(BASE, {11: 0x11, 14: 0x22}),
    "grey with a sampling": patched(GREY, {11: 0x22}),
    "two frames": with_segment(0xC0, BASE[FRAME + 4 : FRAME + 19]),
    "bytes between segments": BASE[:FRAME] + b"\0" + BASE[FRAME:],
    "a sequential scan that ends early": patched(BASE, {11: 40}, b"\xff\xda"),
    "not the first progressive scan": patched(BASE, {1: 0xC2}),
    "trailing zero": BASE + b"\0",
    "a byte before the end is missing": BASE[:-1],
    **{name: irregular()[name] for name in ("narrow", "16-bit steps", "no end")},
    **{name: data for name, data in variants().items() if not name.startswith("jpeg")},
}


@pytest.mark.parametrize("name", OTHERS)
def test_all_else_is_refused(name: str) -> None:
    assert size(OTHERS[name]) == REFUSED


def test_cut_files_are_refused() -> None:
    for data in (BASE, save(picture("RGB"), "JPEG", progressive=True)):
        assert size(data) == SIZE
        assert {size(data[:end]) for end in range(len(data))} == {REFUSED}


@pytest.mark.parametrize(
    "limits", [Limits(max_pixels=61 * 47 - 1), Limits(max_side=60), Limits(max_bytes=len(BASE) - 1)]
)
def test_limits_are_kept(limits: Limits) -> None:
    assert plain_jpegs([BASE, b""], limits).tolist() == [[0, 0], [0, 0]]


def test_each_image_has_its_row() -> None:
    images = [BASE, b"", save(picture("RGB", 30, 20), "JPEG"), BASE[:-2]]
    found = plain_jpegs(ColumnView(images))
    assert found.dtype == np.int32
    assert found.tolist() == [[61, 47], [0, 0], [30, 20], [0, 0]]
    assert plain_jpegs([]).shape == (0, 2)


@settings(max_examples=400, deadline=None)
@given(
    st.sampled_from([BASE, GREY, save(picture("RGB"), "JPEG", progressive=True)]),
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=4),
)
def test_what_is_plain_has_the_headers_size(data: bytes, edits: list[tuple[float, int]]) -> None:
    damaged = bytearray(data)
    for place, value in edits:
        damaged[int(place * 700)] = value  # headers: all three have more bytes
    assert size(bytes(damaged)) in (REFUSED, header_size(bytes(damaged)))


def real_files(folder: str) -> Iterator[Path]:
    if not (SHARED / folder).is_dir():
        pytest.skip("needs shared data: set VECLIP_SHARED_DATA")
    return (path for path in sorted((SHARED / folder).rglob("*")) if path.is_file())


ORDINARY = [
    *("cc_web", "cifar10_test", "coco", "emoji_captions", "flickr8k"),
    *("imagenet_sample_224", "imagenet_sample_orig", "openstax"),
]


@pytest.mark.parametrize("folder", ORDINARY)
def test_ordinary_jpeg_files_are_all_plain(folder: str) -> None:
    files = [path for path in real_files(folder) if path.suffix.lower() in (".jpg", ".jpeg")]
    images = [path.read_bytes() for path in files]
    assert len(images) >= 30
    assert plain_jpegs(images).tolist() == [list(header_size(data)) for data in images]


def test_odd_files_are_plain_only_where_the_header_says_the_same() -> None:
    images = [path.read_bytes() for path in real_files("odd_images")]
    sizes = [size(data) for data in images]
    assert sum(found != REFUSED for found in sizes) >= 40  # else this is about nothing
    for data, found in zip(images, sizes, strict=True):
        assert found in (REFUSED, header_size(data))
