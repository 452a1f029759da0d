"""Where shards come from and what happens when they are not what index.json says."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from streaming import StreamingDataset

from engine.errors import UserError
from loaders.dataset import CaptionDataset, OrderOptions
from loaders.loader import DataConfig, build_loader
from loaders.shards import ShardMaps
from tests.loaders.corpus import Sample, make_samples, write_dataset


def keys(folder: Path, **changes: object) -> list[str]:
    settings = DataConfig(str(folder), batch_size=8, image_size=8, threads=1, dtype="uint8", **changes)
    return sorted(key for batch in build_loader(settings) for key in batch["key"])


def shards_of(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.mds"))


def flip_a_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-20] ^= 1
    path.write_bytes(data)


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def test_stock_streaming_reads_the_same_samples(dataset: Path, samples: list[Sample]) -> None:
    stock = StreamingDataset(local=str(dataset), batch_size=8)
    ours = CaptionDataset(OrderOptions(str(dataset), 8))
    for i, sample in enumerate(samples):
        assert stock[i]["key"] == ours.get_item(i)["key"] == sample.key
        assert stock[i]["image"] == ours.read(np.array([i])).column("image")[0] == sample.image


def test_a_remote_is_fetched_with_its_description(
    dataset: Path, samples: list[Sample], tmp_path: Path
) -> None:
    found = keys(tmp_path / "cache", remote=str(dataset))
    assert found == [sample.key for sample in samples]
    assert (tmp_path / "cache" / "dataset.json").read_bytes() == (dataset / "dataset.json").read_bytes()


def test_a_full_cache_gives_up_files_and_maps(dataset: Path, samples: list[Sample], tmp_path: Path) -> None:
    many = write_dataset(tmp_path / "many", samples, shards=12)
    limit = 5 * max(path.stat().st_size for path in shards_of(many)) + (many / "index.json").stat().st_size
    settings = DataConfig(
        str(tmp_path / "cache"),
        4,
        remote=str(many),
        image_size=8,
        threads=1,
        dtype="uint8",
        cache_limit=limit,
    )
    loader = build_loader(settings)
    found = [key for batch in loader for key in batch["key"]]
    assert sorted(found) == [sample.key for sample in samples]
    assert len(shards_of(tmp_path / "cache")) < 12
    loader.dataset.read(np.array([0]))
    with open("/proc/self/maps") as maps:
        mapped = {line.split()[-1] for line in maps if str(tmp_path / "cache") in line}
    assert len(mapped) < 12
    assert not any("(deleted)" in name for name in mapped)


def test_maps_are_bounded(dataset: Path, samples: list[Sample]) -> None:
    shards = CaptionDataset(OrderOptions(str(dataset), 8)).shards
    maps = ShardMaps(shards, most_open=2)  # type: ignore[arg-type]
    for shard in (0, 1, 2, 3, 0):
        assert len(maps.get(shard)) == shards[shard].samples
        assert len(maps) <= 2


@pytest.mark.parametrize("damage", [flip_a_byte, cut_short])
def test_a_damaged_shard_is_never_used(
    samples: list[Sample], tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    folder = write_dataset(tmp_path / "data", samples[:16], shards=2)
    damage(shards_of(folder)[1])
    for _ in range(2):  # Streaming itself complains once, and then uses it
        with pytest.raises(UserError, match=r"00001/shard.00000.mds.*index.json says"):
            keys(folder)


@pytest.mark.parametrize("damage", [flip_a_byte, cut_short, os.remove])
def test_a_damaged_copy_is_fetched_again(
    dataset: Path, samples: list[Sample], tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    cache = tmp_path / "cache"
    shutil.copytree(dataset, cache)
    damage(shards_of(cache)[1])
    assert keys(cache, remote=str(dataset)) == [sample.key for sample in samples]
    assert [p.read_bytes() for p in shards_of(cache)] == [p.read_bytes() for p in shards_of(dataset)]


def test_a_remote_that_stays_damaged_is_reported(samples: list[Sample], tmp_path: Path) -> None:
    remote = write_dataset(tmp_path / "remote", samples[:16], shards=2)
    flip_a_byte(shards_of(remote)[0])
    with pytest.raises(UserError, match=r"index.json says"):
        keys(tmp_path / "cache", remote=str(remote))


def test_the_only_copy_is_never_deleted(samples: list[Sample], tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "data", samples[:16], shards=2)
    flip_a_byte(shards_of(folder)[0])
    with pytest.raises(UserError, match=r"index.json says"):
        keys(folder, remote=str(folder))
    assert len(shards_of(folder)) == 2


# Streaming leaves the compressed file for the garbage collector to close.
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("remote", [False, True])
def test_compressed_shards_are_read(samples: list[Sample], tmp_path: Path, remote: bool) -> None:
    folder = write_dataset(tmp_path / "data", samples, compression="zstd:3")
    assert not shards_of(folder)
    found = keys(tmp_path / "cache", remote=str(folder)) if remote else keys(folder)
    assert found == [sample.key for sample in samples]


@pytest.mark.parametrize("workers", [0, 1])
def test_a_missing_shard_stops_the_run(samples: list[Sample], tmp_path: Path, workers: int) -> None:
    """Streaming alone would end the epoch early, without a word."""
    remote = write_dataset(tmp_path / "remote", samples[:16], shards=2)
    shards_of(remote)[1].unlink()
    with pytest.raises(UserError, match=r"fetched|missing"):
        keys(tmp_path / "cache", remote=str(remote), num_workers=workers)


def test_an_unfinished_or_foreign_data_set_is_refused(samples: list[Sample], tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"dataset.json.*engine.shard"):
        keys(tmp_path)
    with pytest.raises(UserError, match=r"could not be fetched"):
        keys(tmp_path / "cache", remote=str(tmp_path / "nowhere"))
    folder = write_dataset(tmp_path / "data", samples[:8], shards=1)
    (folder / "dataset.json").write_text("{}")
    with pytest.raises(UserError, match="not a veclip-engine/1 description"):
        keys(folder)


def test_a_data_set_without_index_is_refused(samples: list[Sample], tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "data", samples[:8], shards=1)
    (folder / "index.json").unlink()
    with pytest.raises(UserError, match=r"index.json"):
        keys(folder)


def test_missing_columns_are_named(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "data", make_samples(8), shards=1, with_scores=False)
    description = json.loads((folder / "dataset.json").read_text())
    (folder / "dataset.json").write_text(json.dumps({**description, "has_scores": True}))
    with pytest.raises(UserError, match=r"scores \(ndarray:float32\)"):
        keys(folder)


def test_a_shard_outside_the_folder_is_refused(samples: list[Sample], tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "data", samples[:8], shards=1)
    index = (folder / "index.json").read_text()
    for name in ("../victim.mds", "/etc/victim.mds"):
        (folder / "index.json").write_text(index.replace("00000/shard.00000.mds", name))
        with pytest.raises(UserError, match="outside the data set"):
            keys(folder)
