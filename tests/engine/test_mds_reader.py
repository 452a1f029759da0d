"""What is written is read back, and every kind of damage to a finished dataset is named."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import UserError
from engine.shards.checks import check_shard
from engine.shards.compression import compress, decompress
from engine.shards.encodings import SCALARS, decode_value, encode_column, encode_value
from engine.shards.index import write_index
from engine.shards.mds_writer import MdsWriter
from engine.shards.reader import open_dataset
from engine.shards.sample_hash import hash_column

COMPRESSIONS = [None, "zstd:1"]
COLUMNS = {"key": "str", "image": "bytes", "tokens": "ndarray:uint16", "sample_hash": "uint64"}


def build(folder: Path, compression: str | None, total: int = 60, **options: Any) -> None:
    writer = MdsWriter(folder, COLUMNS, size_limit=2000, compression=compression, **options)
    columns = {
        "key": encode_column("str", [f"k{i}" for i in range(total)]),
        "image": [bytes([i]) * 40 for i in range(total)],
        "tokens": encode_column("ndarray:uint16", [np.arange(i + 1, dtype=np.uint16) for i in range(total)]),
    }
    writer.write_batch({**columns, "sample_hash": hash_column(columns)})
    write_index(folder, writer.finish())


def problems(folder: Path) -> list[str]:
    dataset = open_dataset(folder)
    return [problem for k in range(len(dataset.entries)) for problem in check_shard(dataset, k)]


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_round_trip(compression: str | None, tmp_path: Path) -> None:
    build(tmp_path, compression)
    dataset = open_dataset(tmp_path)
    assert len(dataset) == 60
    assert len(dataset.entries) > 2
    for i in (0, 59, 30, 1):
        sample = dataset.sample(i)
        assert (sample["key"], sample["image"]) == (f"k{i}", bytes([i]) * 40)
        assert sample["tokens"].tolist() == list(range(i + 1))
    for beyond in (-1, 60):
        with pytest.raises(IndexError):
            dataset.sample(beyond)
    assert problems(tmp_path) == []


def _edit(path: Path, change: Callable[[bytearray], None]) -> None:
    data = bytearray(path.read_bytes())
    change(data)
    path.write_bytes(data)


def _flip_last(data: bytearray) -> None:
    data[-1] ^= 1


DAMAGE: dict[str, tuple[Callable[[Path], None], str]] = {
    "removed": (lambda p: p.unlink(), "missing"),
    "cut": (lambda p: _edit(p, lambda d: d.__delitem__(-1)), "the index says"),
    "longer": (lambda p: _edit(p, lambda d: d.append(0)), "the index says"),
    "flipped": (lambda p: _edit(p, _flip_last), "sha1 is"),
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_damage_is_named(damage: str, compression: str | None, tmp_path: Path) -> None:
    build(tmp_path, compression, hashes=["sha1", "xxh64"])
    apply, said = DAMAGE[damage]
    victim = sorted(tmp_path.glob("shard.*"))[1]
    apply(victim)
    found = problems(tmp_path)
    assert found
    assert all(str(victim) in problem for problem in found)
    assert any(said in problem for problem in found)


def test_sample_hashes_see_what_no_file_hash_covers(tmp_path: Path) -> None:
    build(tmp_path, None, hashes=[])
    _edit(tmp_path / "shard.00000.mds", _flip_last)  # inside the last sample's tokens
    (problem,) = problems(tmp_path)
    assert "its hash is" in problem


def test_a_header_that_is_not_the_indexs(tmp_path: Path) -> None:
    build(tmp_path, None, hashes=[])
    index = json.loads((tmp_path / "index.json").read_bytes())
    index["shards"][0]["size_limit"] = 3
    (tmp_path / "index.json").write_text(json.dumps(index))
    (problem,) = problems(tmp_path)
    assert "header and index differ in size_limit" in problem


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_an_index_that_counts_wrong(compression: str | None, tmp_path: Path) -> None:
    build(tmp_path, compression)
    index = json.loads((tmp_path / "index.json").read_bytes())
    index["shards"][0]["samples"] += 1
    (tmp_path / "index.json").write_text(json.dumps(index))
    with pytest.raises(UserError, match="samples, the index says"):
        open_dataset(tmp_path).sample(0)


def test_a_decompression_bomb_is_cut_off() -> None:
    bomb = zstandard.ZstdCompressor(write_content_size=False).compress(bytes(1 << 28))
    for frame in (bomb, compress(bytes(1 << 20), "zstd")):
        with pytest.raises(ValueError, match="zstd"):
            decompress(frame, 1000)


@given(st.binary(max_size=500), st.sampled_from(["zstd", "zstd:1", "zstd:19"]))
def test_compression_round_trip(data: bytes, spec: str) -> None:
    frame = compress(data, spec)
    assert zstandard.frame_content_size(frame) == len(data)  # stock Streaming reads no other frames
    assert decompress(frame, len(data)) == data


@pytest.mark.parametrize(
    "change", [lambda f: f[:-1], lambda f: f + b"x", lambda f: f + f, lambda f: b"", lambda f: f[1:]]
)
def test_damaged_frames(change: Callable[[bytes], bytes]) -> None:
    with pytest.raises(ValueError, match="zstd"):
        decompress(change(compress(b"data" * 100, "zstd")), 400)


@given(
    st.sampled_from(["str", "int", "json", "ndarray", "ndarray:uint16", "ndarray:int8:2", *SCALARS]),
    st.binary(),
)
def test_any_bytes_decode_or_are_a_value_error(name: str, data: bytes) -> None:
    try:
        value = decode_value(name, data)
    except ValueError:  # UnicodeDecodeError and JSONDecodeError are of its kind
        return
    if name.startswith("ndarray"):
        assert encode_value(name, np.array(value))  # whatever is read could have been written


@pytest.mark.parametrize(
    "data", [b"", b"\x08", b"\x08\x04", b"\x08\x00", b"\x08\x04\x00", b"\x07\x04\x01x", b"\x08\x04\x02x"]
)
def test_arrays_that_are_cut_off_or_empty(data: bytes) -> None:
    with pytest.raises(ValueError, match="ndarray"):
        decode_value("ndarray", data)


@given(st.sampled_from(SCALARS), st.lists(st.integers(0, 127)))
def test_columns_encode_as_their_values_do(name: str, values: list[int]) -> None:
    assert encode_column(name, values) == [encode_value(name, value) for value in values]


def test_open_shards_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = MdsWriter(tmp_path, {"a": "bytes"}, size_limit=200)
    for number in range(20):
        writer.write({"a": b"%02d" % number * 50})
    write_index(tmp_path, writer.finish())
    monkeypatch.setattr("engine.shards.reader.MOST_OPEN", 3)
    dataset = open_dataset(tmp_path)
    assert len(dataset.entries) > 10
    for _ in range(2):
        assert [dataset.sample(i)["a"] for i in range(20)] == [b"%02d" % i * 50 for i in range(20)]
    mapped = [line for line in Path("/proc/self/maps").read_text().splitlines() if str(tmp_path) in line]
    assert len(mapped) == 3
