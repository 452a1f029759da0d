"""Stock StreamingDataset reads our shards, and our reader reads MDSWriter's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.shards.checks import check_shard
from engine.shards.index import merge_entries, read_index, write_index
from engine.shards.mds_writer import MdsWriter
from engine.shards.reader import open_dataset

streaming = pytest.importorskip("streaming", reason="the outside reference; installed by the [train] extra")
pytestmark = [  # Streaming leaves the files that it reads to the garbage collector
    pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning"),
    pytest.mark.filterwarnings(
        "ignore:Exception ignored in. <_io.FileIO:pytest.PytestUnraisableExceptionWarning"
    ),
]

COLUMNS = {
    "key": "str", "image": "bytes", "width": "int32", "captions": "json", "tokens": "ndarray:uint16",
    "scores": "ndarray:float32", "any": "ndarray", "fixed": "ndarray:int64:2", "x": "float64",
}  # fmt: skip


def sample(i: int) -> dict[str, Any]:
    return {
        "key": f"clé/{i}",
        "image": b"\xff\xd8" * (i % 50),
        "width": i,
        "captions": {"alttext": ["a", "ü"] * (i % 3), "vecap": []},
        "tokens": np.arange(i + 1, dtype=np.uint16),
        "scores": np.full(i % 4 + 1, i / 7, np.float32),
        "any": np.ones((1 + i % 2, 300), np.int8),
        "fixed": np.array([i, -i]),
        "x": i / 3,
    }


def write(folder: Path, numbers: range, **options: Any) -> list[Any]:
    writer = MdsWriter(folder, COLUMNS, size_limit=8000, hashes=["sha1", "xxh3_64"], **options)
    for i in numbers:
        writer.write(sample(i))
    return writer.finish()


def assert_samples(found: Any, total: int) -> None:
    assert len(found) == total
    for i, got in enumerate(found):
        np.testing.assert_equal(got, sample(i))


def by_streaming(local: Path, remote: Path | None = None, check: str | None = None) -> Any:
    streaming.base.util.clean_stale_shared_memory()
    where = {"local": str(local), "remote": str(remote) if remote else None}
    return streaming.StreamingDataset(**where, batch_size=1, shuffle=False, validate_hash=check)


@pytest.mark.parametrize("compression", [None, "zstd", "zstd:9"])
def test_stock_streaming_reads_merged_sub_folders(compression: str | None, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    parts = [("00000", range(0, 30)), ("00001", range(30, 40)), ("00002", range(40, 60))]
    entries = [(name, write(folder / name, numbers, compression=compression)) for name, numbers in parts]
    write_index(folder, merge_entries(entries))
    expected = ".mds" if compression is None else ".mds.zstd"
    assert {"".join(path.suffixes[1:]) for path in folder.rglob("shard*")} == {expected}
    assert_samples(by_streaming(tmp_path / "cache", folder, "sha1"), 60)
    ours = open_dataset(folder)
    assert_samples([ours.sample(i) for i in range(len(ours))], 60)
    assert [check_shard(ours, k) for k in range(len(ours.entries))] == [[]] * len(ours.entries)


def test_merged_entries_are_those_of_merge_index(tmp_path: Path) -> None:
    parts = []
    for name, numbers in (("00000", range(0, 30)), ("00001", range(30, 40))):
        parts.append((name, write(tmp_path / name, numbers, compression="zstd")))
        write_index(tmp_path / name, parts[-1][1])
    streaming.base.util.merge_index(str(tmp_path), keep_local=True)
    assert read_index(tmp_path) == merge_entries(parts)


@pytest.mark.parametrize("compression", [None, "zstd:7"])
def test_our_reader_reads_mdswriters_files(compression: str | None, tmp_path: Path) -> None:
    options = {"columns": COLUMNS, "size_limit": 8000, "compression": compression, "hashes": ["xxh128"]}
    with streaming.MDSWriter(out=str(tmp_path), **options) as writer:
        for i in range(40):
            writer.write(sample(i))
    ours = open_dataset(tmp_path)
    assert_samples([ours.sample(i) for i in range(len(ours))], 40)
    assert [check_shard(ours, k) for k in range(len(ours.entries))] == [[]] * len(ours.entries)
