"""An index is foreign input: nothing outside its folder is named, nothing that runs code is read."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import UserError
from engine.shards.entries import entry_from_json
from engine.shards.index import merge_entries, read_index, write_index
from engine.shards.mds_writer import MdsWriter


@pytest.fixture
def index(tmp_path: Path) -> dict[str, Any]:
    writer = MdsWriter(tmp_path, {"a": "bytes", "n": "int32"}, compression="zstd")
    writer.write({"a": b"x", "n": 1})
    write_index(tmp_path, writer.finish())
    loaded: dict[str, Any] = json.loads((tmp_path / "index.json").read_bytes())
    return loaded


def put(*path: str | int, value: object) -> Callable[[dict[str, Any]], None]:
    def change(obj: Any) -> None:
        for step in path[:-1]:
            obj = obj[step]
        obj[path[-1]] = value

    return change


HOSTILE_FIELDS: dict[str, list[Any]] = {
    "version": [1, None],
    "format": ["csv", "json", None],
    "column_encodings": [["pkl", "int32"], ["bytes"], [1, 2], "ab"],
    "column_names": [["a", "a"], ["a"], [], None],
    "column_sizes": [[None, 8], [4, 4], [None], [], [[], 4], "ab"],
    "compression": [None, "gz", "zstd:0", 3, []],
    "samples": [-1, 1.5, True, None, "1"],
    "size_limit": [[], {}],
    "raw_data": [None, []],
    "zip_data": [None],
    "unknown": [1],
}
HOSTILE_FILE: dict[str, list[Any]] = {
    "basename": ["/etc/passwd", "../x", "a/../../x", "", ".", "a//b", "a/", "./a", "a\\b", "a\0b", 7, None],
    "bytes": [-1, 1 << 32, "1"],
    "hashes": [None, {"sha1": 1}],
}
ANY_SHARDS: list[Any] = [None, {}, "text", [None], [[]], [{}]]
CHANGES = [
    *[put("version", value=value) for value in (1, 3, "2", None)],
    *[put("shards", value=value) for value in ANY_SHARDS],
    *[put("shards", 0, field, value=value) for field, values in HOSTILE_FIELDS.items() for value in values],
    *[
        put("shards", 0, "raw_data", key, value=value)
        for key, values in HOSTILE_FILE.items()
        for value in values
    ],
    put("shards", 0, "zip_data", "basename", value="../x"),
]


@pytest.mark.parametrize("change", CHANGES)
def test_hostile_indexes_are_refused(
    index: dict[str, Any], change: Callable[[Any], None], tmp_path: Path
) -> None:
    assert read_index(tmp_path)
    change(index)
    (tmp_path / "index.json").write_text(json.dumps(index))
    with pytest.raises(UserError):
        read_index(tmp_path)


@pytest.mark.parametrize("text", [b"", b"{", b"[" * 100_000, b"\xff", b"3", b"null"])
def test_what_is_no_json(text: bytes, tmp_path: Path) -> None:
    (tmp_path / "index.json").write_bytes(text)
    with pytest.raises(UserError, match=r"index\.json"):
        read_index(tmp_path)


def test_no_index_is_no_dataset(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not finished"):
        read_index(tmp_path)


def test_old_forms_that_streaming_reads(index: dict[str, Any], tmp_path: Path) -> None:
    index["shards"][0]["size_limit"] = "64mb"
    index["shards"][0]["column_sizes"] = [0, 4]
    (tmp_path / "index.json").write_text(json.dumps(index))
    (entry,) = read_index(tmp_path)
    assert entry.layout.size_limit == "64mb"
    assert entry.layout.column_sizes == (None, 4)


def test_entries_survive_json(index: dict[str, Any]) -> None:
    entry = entry_from_json(index["shards"][0])
    assert entry_from_json(json.loads(json.dumps(entry.to_json()))) == entry
    assert entry.to_json() == index["shards"][0]


@pytest.mark.parametrize("folder", ["..", "/abs", "", "a/../.."])
def test_merging_below_a_folder_that_leaves(index: dict[str, Any], folder: str) -> None:
    with pytest.raises(UserError):
        merge_entries([(folder, [entry_from_json(index["shards"][0])])])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4), lambda s: st.lists(s, max_size=3)
)


@given(st.sampled_from(sorted({"column_encodings", "column_sizes", "hashes", "raw_data", "samples"})), JSON)
def test_any_json_in_a_field_is_an_entry_or_an_error(field: str, value: Any) -> None:
    files = {"basename": "shard.00000.mds", "bytes": 8, "hashes": {}}
    obj: dict[str, Any] = {
        "column_encodings": ["bytes"], "column_names": ["a"], "column_sizes": [None], "compression": None,
        "format": "mds", "hashes": [], "raw_data": files, "samples": 0, "size_limit": None, "version": 2,
        "zip_data": None,
    }  # fmt: skip
    assert entry_from_json(obj).samples == 0
    with contextlib.suppress(UserError):
        entry_from_json({**obj, field: value})
