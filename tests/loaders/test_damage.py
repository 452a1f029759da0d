"""No damage to a shard reaches a sample: every truncation and flipped bit is found when it is opened."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.errors import UserError
from loaders.dataset import CaptionDataset, OrderOptions
from loaders.readers import read_readers
from loaders.shards import DamagedShardError, open_verified, shard_path
from loaders.streams import Place
from tests.loaders.corpus import Sample, write_dataset

FLIPS = 400


@pytest.fixture
def folder(samples: list[Sample], tmp_path: Path) -> Path:
    return write_dataset(tmp_path / "data", samples[:16], shards=1)


def test_every_truncation_is_found(folder: Path) -> None:
    (reader,) = read_readers(str(folder), "")
    path = Path(shard_path(reader))
    whole = path.read_bytes()
    borders = np.frombuffer(whole, np.uint32, int.from_bytes(whole[:4], "little") + 1, offset=4).tolist()
    assert borders[-1] == len(whole)
    for cut in [0, 1, 3, 4, *(at + step for at in borders[:-1] for step in (-1, 0, 1)), len(whole) - 1]:
        path.write_bytes(whole[:cut])
        with pytest.raises(DamagedShardError, match=r"shard\.00000\.mds: .* bytes, index\.json says"):
            open_verified(reader)
    path.write_bytes(whole)
    assert len(open_verified(reader)) == 16


def test_every_flipped_bit_is_found(folder: Path) -> None:
    (reader,) = read_readers(str(folder), "")
    path = Path(shard_path(reader))
    whole = path.read_bytes()
    for bit in np.random.default_rng(5).integers(0, 8 * len(whole), FLIPS).tolist():
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        with pytest.raises(DamagedShardError, match=r"xxh3_64 is"):
            open_verified(reader)


def edit(**changes: Any) -> Callable[[dict[str, Any]], None]:
    return lambda shard: shard.update(changes)


def edit_file(**changes: Any) -> Callable[[dict[str, Any]], None]:
    return lambda shard: shard["raw_data"].update(changes)


@pytest.mark.parametrize(
    "change",
    [
        edit(samples=-1), edit(samples=1.5), edit(samples="16"), edit(samples=None),
        edit(column_encodings=["pkl"] * 11), edit(column_sizes=[None] * 11), edit(column_sizes=[-4] * 11),
        edit(column_sizes=[]), edit(column_names="key"), edit(format="json"), edit(version=3),
        edit(compression="br"),
        edit(split=".."), edit(raw_data=None), edit(hashes=7), edit_file(bytes=-1), edit_file(bytes=1 << 40),
        edit_file(hashes=[]), edit_file(basename="../shard.mds"), edit_file(basename="/shard.mds"),
        edit_file(basename="a\0b.mds"), edit_file(basename="..\\shard.mds"),
        edit_file(basename="C:\\shard.mds"),
        edit_file(basename=""), edit_file(basename="a//b"), edit_file(basename="./a"), edit_file(basename=5),
    ],
)  # fmt: skip
def test_an_index_that_lies_is_refused_before_anything_is_written(
    folder: Path, tmp_path: Path, change: Callable[[dict[str, Any]], None]
) -> None:
    index = json.loads((folder / "index.json").read_text())
    change(index["shards"][0])
    (folder / "index.json").write_text(json.dumps(index))
    cache = tmp_path / "cache"
    with pytest.raises(UserError, match=r"index\.json"):
        CaptionDataset(OrderOptions([Place(str(cache), str(folder))], 8))
    assert sorted(p.name for p in cache.iterdir()) == [".fetch", "dataset.json", "index.json"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["cache", "data"]


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", '{"version": 2}', "[" * 100_000, '{"version": 2, "shards": [1]}']
)
def test_an_index_that_is_none_is_refused(folder: Path, text: str) -> None:
    (folder / "index.json").write_text(text)
    with pytest.raises(UserError, match=r"index\.json"):
        CaptionDataset(OrderOptions([Place(str(folder))], 8))


def test_a_shard_without_a_known_hash_is_refused(folder: Path) -> None:
    index = json.loads((folder / "index.json").read_text())
    index["shards"][0]["raw_data"]["hashes"] = {"crc1": "0"}
    (folder / "index.json").write_text(json.dumps(index))
    with pytest.raises(UserError, match=r"no hash of it"):
        CaptionDataset(OrderOptions([Place(str(folder))], 8)).read(np.array([0]))
