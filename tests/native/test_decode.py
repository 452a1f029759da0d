"""Decoding equals Pillow's convert("RGB"), or both refuse."""

from __future__ import annotations

import math
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.exactness import compare_file
from engine.native import Limits, NativeError, Status, decode_rgb, probe
from tests.native.image_kit import SHARED, assert_same, native_rgb, picture, pillow_rgb, save, variants
from tests.native.png_kit import DEPTHS, chunk, make

SMALL = {name: data for name, data in variants().items() if len(data) < 20_000}


@pytest.mark.parametrize("name", variants())
def test_every_variant_decodes_to_pillows_pixels(name: str) -> None:
    assert pillow_rgb(variants()[name]) is not None
    assert_same(variants()[name], name)


@pytest.mark.parametrize("interlace", [False, True])
@pytest.mark.parametrize(("depth", "colour"), DEPTHS)
def test_every_png_depth_and_colour(depth: int, colour: int, interlace: bool) -> None:
    for width, height in [(1, 1), (3, 2), (4, 9), (9, 8), (33, 17)]:
        data = make(width, height, depth, colour, interlace)
        assert pillow_rgb(data) is not None
        assert_same(data, f"{width}x{height}")


@pytest.mark.parametrize(
    "extra",
    [
        chunk(b"gAMA", b"\0\0"),
        chunk(b"gAMA", b"\0\0\xb1\x8f"),
        chunk(b"iCCP", b"name\0\1" + zlib.compress(b"profile")),
        chunk(b"iCCP", b"name\0\0" + zlib.compress(bytes(3 << 20))),
        chunk(b"zTXt", b"key\0\0" + zlib.compress(bytes(1 << 20))),
        chunk(b"zTXt", b"key\0\0not deflate"),
        chunk(b"tRNS", b"\0"),
        chunk(b"pHYs", b"\0" * 8),
        chunk(b"cHRM", b"\0" * 31),
        chunk(b"xxXx", b"unknown"),
        chunk(b"tEXt", b"key\0value")[:-1] + b"?",
        chunk(b"fcTL", b"\0" * 26),
    ],
)
def test_png_metadata_is_judged_as_pillow_judges_it(extra: bytes) -> None:
    assert_same(make(9, 7, 8, 2, extra=[extra]))


@pytest.mark.parametrize("name", ["jpeg 4:2:0 False", "jpeg 4:2:0 True", "png RGB", "apng", "webp RGB False"])
def test_truncated_files(name: str) -> None:
    data = variants()[name]
    for end in [*range(0, 64), *range(64, len(data), 37), *range(max(0, len(data) - 40), len(data))]:
        assert_same(data[:end], f"{name} cut to {end} bytes")


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(sorted(SMALL)), st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=6))
def test_mutated_files(name: str, edits: list[tuple[float, int]]) -> None:
    data = bytearray(SMALL[name])
    for place, value in edits:
        data[int(place * (len(data) - 1))] = value
    if _announced(bytes(data)) < 4_000_000:  # larger ones take long, and have limits that Pillow has not
        assert_same(bytes(data), name)


def _announced(data: bytes) -> float:
    """Pixels; 0 of what has no readable header."""
    try:
        info = probe(data)
    except NativeError as error:
        return math.inf if error.status in (Status.SIDE_TOO_LARGE, Status.TOO_MANY_PIXELS) else 0
    return info.width * info.height


@pytest.mark.parametrize("name", variants())
def test_probe_announces_what_is_decoded(name: str) -> None:
    info, pixels = probe(variants()[name]), native_rgb(variants()[name])
    assert pixels is not None
    assert (info.height, info.width) == pixels.shape[:2]
    assert info.format == name.split()[0].replace("apng", "png")
    assert info.progressive == (name.startswith("jpeg") and name.endswith("True"))


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        (Limits(max_pixels=60 * 47), "too_many_pixels"),
        (Limits(max_side=60), "side_too_large"),
        (Limits(max_bytes=100), "file_too_large"),
    ],
)
@pytest.mark.parametrize("name", ["jpeg 4:2:0 False", "png RGB", "webp RGB True"])
def test_limits(name: str, limits: Limits, expected: str) -> None:
    for function in (probe, decode_rgb):
        with pytest.raises(NativeError) as caught:
            function(variants()[name], limits)
        assert caught.value.name == expected


@pytest.mark.parametrize(
    ("data", "expected"),
    [(b"", "empty"), (b"hello", "unsupported_format"), (save(picture("RGB"), "GIF"), "unsupported_format")],
)
def test_other_files_are_refused(data: bytes, expected: str) -> None:
    with pytest.raises(NativeError) as caught:
        decode_rgb(data)
    assert caught.value.name == expected


@pytest.mark.skipif(not SHARED.is_dir(), reason="no shared/data beside the repository (VECLIP_SHARED_DATA)")
@pytest.mark.parametrize(
    "folder", ["odd_images", "coco", "emoji_captions", pytest.param("openstax", marks=pytest.mark.slow)]
)
def test_real_files_have_no_unlisted_difference(folder: str) -> None:
    names = sorted(
        p for p in (SHARED / folder).rglob("*") if p.suffix.lower() in {".jpg", ".jpeg", ".png", ".webp"}
    )
    assert names
    parted = [r for r in map(compare_file, map(str, names)) if r.outcome not in ("equal", "both_refuse")]
    assert [Path(r.file).name for r in parted if not r.rule] == []
