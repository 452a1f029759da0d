"""webdataset tars: the same samples as the webdataset library, and damage that is never silent."""

from __future__ import annotations

import gzip
import io
import tarfile
import tracemalloc
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from sources_kit import JPEG, codes, pairs, read_all, shared_data, tar_bytes, texts

from engine.records import Record, Reject
from engine.sources import SourceOptions, open_source
from engine.sources.options import MAX_TEXT_BYTES
from engine.sources.tarstream import TarError, TarStream

NAMES = st.text(st.characters(exclude_characters="\0\n", codec="utf-8"), min_size=1, max_size=120)


def reference(path: Path) -> dict[str, dict[str, bytes]]:
    """The samples as the webdataset library groups them."""
    from webdataset.tariterators import group_by_keys, tar_file_iterator

    with path.open("rb") as stream:
        members = [{**member, "__url__": str(path)} for member in tar_file_iterator(stream)]
    return {sample["__key__"]: sample for sample in group_by_keys(members)}


def test_real_shard_as_webdataset_reads_it() -> None:
    path = shared_data("cc12m/00000.tar")
    expected = reference(path)
    found = read_all(path)
    assert len(found) == len(expected) == 32
    for sample in found:
        assert isinstance(sample, Record)
        assert sample.image == expected[sample.key]["jpg"]
        assert texts(sample) == [expected[sample.key]["txt"].decode().strip()]


def test_grouping_as_webdataset_does(tmp_path: Path) -> None:
    members = [
        ("./a/x.y.JPG", JPEG), ("./a/x.txt", b"one"), ("__meta__/x.txt", b"no"), ("b.c/d.png", JPEG),
        ("b.c/d.cls.txt", b"3"), ("b.c/d.txt", b"two"), ("noextension", b"no"), ("e.webp", JPEG),
        ("e.txt", b"three"),
    ]  # fmt: skip
    path = tmp_path / "a.tar"
    path.write_bytes(tar_bytes(members))
    expected = reference(path)
    found = read_all(path)
    assert [sample.key for sample in found] == list(expected)
    assert codes(found) == ["no_image", "record", "record"]  # the field of x.y.JPG is `y.jpg`


@pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@settings(max_examples=40, deadline=None)
@given(members=st.lists(st.tuples(NAMES, st.binary(max_size=1500)), max_size=6))
def test_members_as_tarfile_sees_them(format: int, members: list[tuple[str, bytes]]) -> None:
    try:
        data = tar_bytes(members, format)
    except ValueError:  # ustar cannot hold every name
        return
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        regular = [member for member in tar if member.isreg()]
        expected = [(m.name.rstrip("/"), tar.extractfile(m).read()) for m in regular]  # type: ignore[union-attr]
    stream = TarStream(io.BytesIO(data))
    found = [(m.name, stream.read()) for m in stream if m.is_file]
    assert [(name.rstrip("/"), content) for name, content in found] == expected


@pytest.mark.parametrize("suffix", ["tar.gz", "tgz", "tar.zst"])
def test_packed_tars(tmp_path: Path, suffix: str) -> None:
    data = tar_bytes(pairs(3))
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(zstandard.compress(data) if suffix.endswith("zst") else gzip.compress(data))
    assert codes(read_all(path)) == ["record"] * 3
    path.write_bytes(path.read_bytes()[:-40])
    assert codes(read_all(path))[-1] in ("tar_truncated", "tar_damaged", "record")


WHOLE = tar_bytes(pairs(4))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, len(WHOLE) - 1))
def test_a_cut_tar_keeps_what_is_whole_and_says_so(
    tmp_path_factory: pytest.TempPathFactory, cut: int
) -> None:
    path = tmp_path_factory.mktemp("cut") / "a.tar"
    path.write_bytes(WHOLE[:cut])
    found = read_all(path)
    whole = read_all_bytes(path, WHOLE)
    if cut >= 4 * 4 * 512 + 512:  # the end marker is there
        assert found == whole
        return
    assert isinstance(found[-1], Reject)
    assert found[-1].code == "tar_truncated"
    assert found[:-1] == whole[: len(found) - 1]


def read_all_bytes(path: Path, data: bytes) -> list[Record | Reject]:
    path.write_bytes(data)
    return read_all(path)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(WHOLE) - 1), st.integers(0, 255)), min_size=1, max_size=8))
def test_hostile_bytes_never_raise_nor_hide(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[int, int]]
) -> None:
    data = bytearray(WHOLE)
    for position, value in changes:
        data[position] = value
    path = tmp_path_factory.mktemp("mutated") / "a.tar"
    path.write_bytes(bytes(data))
    found = read_all(path)
    assert all(isinstance(sample, (Record, Reject)) for sample in found)
    if data == WHOLE:
        assert codes(found) == ["record"] * 4


@pytest.mark.parametrize("tail", [WHOLE, b"\0" * 5000 + b"x"])
def test_what_follows_the_end_marker_is_not_lost_in_silence(tmp_path: Path, tail: bytes) -> None:
    found = read_all_bytes(tmp_path / "a.tar", WHOLE + tail)
    assert codes(found) == ["record"] * 4 + ["tar_damaged"]


def test_a_zeroed_header_is_no_end_marker(tmp_path: Path) -> None:
    data = bytearray(WHOLE)
    data[4 * 512 : 5 * 512] = bytes(512)
    assert codes(read_all_bytes(tmp_path / "a.tar", bytes(data)))[-1] == "tar_damaged"


def test_a_damaged_header_costs_the_rest_and_says_so(tmp_path: Path) -> None:
    data = bytearray(tar_bytes(pairs(4)))
    data[4 * 2 * 512 + 3] ^= 1  # the third sample's first header
    found = read_all_bytes(tmp_path / "a.tar", bytes(data))
    assert codes(found)[-1] == "tar_damaged"
    assert len(found) < 4


def test_rejects_of_single_samples(tmp_path: Path) -> None:
    members = [
        ("a.jpg", JPEG), ("a.txt", b"x"), ("b.txt", b"y"), ("c.jpg", JPEG), ("d.jpg", JPEG), ("d.txt", b"\0"),
        ("e.jpg", JPEG), ("e.jpg", JPEG), ("../f.jpg", JPEG), ("g.jpg", JPEG * 100), ("g.txt", b"x"),
        ("h.jpg", JPEG), ("h.txt", b"x" * (MAX_TEXT_BYTES + 1)), ("i.jpg", b""), ("i.txt", b"x"),
    ]  # fmt: skip
    path = tmp_path / "a.tar"
    path.write_bytes(tar_bytes(members))
    assert codes(read_all(path, max_image_bytes=1000)) == [
        "record", "no_image", "no_caption", "caption_nul", "duplicate_field", "unsafe_path",
        "image_too_large", "field_too_large", "no_image",
    ]  # fmt: skip


def test_links_are_no_images(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as tar:
        link = tarfile.TarInfo("a.jpg")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    assert codes(read_all(path)) == ["not_a_file"]


def test_unit_names_tell_equal_file_names_apart(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "0.tar").write_bytes(WHOLE)
    source = open_source(SourceOptions((f"{tmp_path}/*/0.tar",)))
    assert [unit.name for unit in source.units()] == ["a/0.tar", "b/0.tar"]


def test_members_that_nobody_wants_are_never_in_memory(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as tar, open("/dev/zero", "rb") as zeros:
        for name in ("a.npy", "a.jpg"):
            info = tarfile.TarInfo(name)
            info.size = 64 << 20
            tar.addfile(info, zeros)
    tracemalloc.start()
    found = read_all(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert codes(found) == ["image_too_large"]
    assert peak < 8 << 20


class Recorder(io.BytesIO):
    """Remembers the sizes that were asked for."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.asked: list[int | None] = []

    def read(self, size: int | None = -1) -> bytes:
        self.asked.append(size)
        return super().read(size)


@pytest.mark.parametrize("kind", [b"0", b"L", b"x"])
@pytest.mark.parametrize("size", [b"-0000001000\0", b"+0000001000\0", b"0_000001000\0"])
def test_sizes_that_are_no_octal_numbers_read_nothing(kind: bytes, size: bytes) -> None:
    header = bytearray(tar_bytes([("a.jpg", b"x")])[:512])
    header[124:136], header[156:157], header[148:156] = size, kind, b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    stream = Recorder(bytes(header) + bytes(100_000))
    with pytest.raises(TarError, match="no valid tar header"):
        next(iter(TarStream(stream)))
    assert stream.asked == [512]


def test_a_huge_extended_header_is_not_read() -> None:
    info = tarfile.TarInfo("x")
    info.type, info.size = tarfile.XHDTYPE, 1 << 40
    with pytest.raises(TarError, match="extended header of 1,099"):
        list(TarStream(io.BytesIO(info.tobuf(tarfile.GNU_FORMAT))))


def test_selectors_scores_and_keys(tmp_path: Path) -> None:
    json = b'{"url": "http://x/1", "syn": ["s0", "s1", "s2"], "clip": [0.1, null, 0.3], "deep": {"er": "d"}}'
    path = tmp_path / "a.tar"
    path.write_bytes(tar_bytes([("1.jpg", JPEG), ("1.json", json), ("1.txt", b"raw")]))
    captions = {"alttext": "txt", "vec": "json:syn[0]", "rest": "json:syn[1:]", "deep": "none|json:deep.er"}
    (found,) = read_all(path, captions=captions, scores={"rest": "json:clip[1:]"}, key_column="json:url")
    assert isinstance(found, Record)
    assert found.key == "http://x/1"
    assert list(found.captions) == list(captions)
    assert [texts(found, name) for name in captions] == [["raw"], ["s0"], ["s1", "s2"], ["d"]]
    assert [caption.score for caption in found.captions["rest"]] == [None, 0.3]
    only = tmp_path / "keys.txt"
    for text, count in (("http://x/1\n", 1), ("1\n", 1), ("2\n", 0)):
        only.write_text(text)
        assert len(read_all(path, key_column="json:url", only_keys=str(only))) == count
    (wrong,) = read_all(path, captions=captions, scores={"rest": "json:clip"})
    assert codes([wrong]) == ["bad_score"]
