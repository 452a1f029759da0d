"""Where shards come from and what happens when they are not what index.json says."""

from __future__ import annotations

import json
import os
import shutil
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import zstandard
from streaming import StreamingDataset

from engine.errors import UserError
from engine.native import hash_file
from loaders.counters import Counters
from loaders.dataset import CaptionDataset, OrderOptions
from loaders.loader import DataConfig, build_loader
from loaders.shards import ShardMaps
from loaders.streams import Place
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
    ours = CaptionDataset(OrderOptions([Place(str(dataset))], 8))
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


def test_a_cache_smaller_than_a_shard_is_refused(dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"Cache limit \(9000 bytes\) is too low"):
        keys(tmp_path / "cache", remote=str(dataset), cache_limit=9_000)


def test_maps_are_bounded(dataset: Path, samples: list[Sample]) -> None:
    shards = CaptionDataset(OrderOptions([Place(str(dataset))], 8)).shards
    maps = ShardMaps(shards, Counters(), most_open=2)  # type: ignore[arg-type]
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


def test_a_shard_changed_after_it_was_opened_is_named(samples: list[Sample], tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "data", samples[:16], shards=2)
    ours = CaptionDataset(OrderOptions([Place(str(folder))], 8))
    ours.read(np.arange(16))
    with open(shards_of(folder)[1], "r+b") as file:  # in place: the map sees it
        file.seek(4)
        file.write(b"\xff" * 200)  # offsets of samples
    with pytest.raises(UserError, match=r"00001/shard\.00000\.mds: changed after it was opened"):
        ours.read(np.arange(16))


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


@pytest.mark.parametrize("remote", [False, True])
def test_compressed_shards_are_read(samples: list[Sample], tmp_path: Path, remote: bool) -> None:
    folder = write_dataset(tmp_path / "data", samples, compression="zstd:3")
    assert not shards_of(folder)
    found = keys(tmp_path / "cache", remote=str(folder)) if remote else keys(folder)
    assert found == [sample.key for sample in samples]


def a_bomb(raw: bytes) -> bytes:
    return zstandard.compress(bytes(1 << 30))


def a_bomb_of_unknown_size(raw: bytes) -> bytes:
    return zstandard.ZstdCompressor(write_content_size=False).compress(bytes(1 << 30))


def a_byte_more(raw: bytes) -> bytes:
    return zstandard.compress(raw + b"x")


def a_byte_less(raw: bytes) -> bytes:
    return zstandard.compress(raw[:-1])


def a_second_frame(raw: bytes) -> bytes:
    return zstandard.compress(raw) + zstandard.compress(b"x")


def half_a_frame(raw: bytes) -> bytes:
    packed = zstandard.compress(raw)
    return packed[: len(packed) // 2]


PACKED_WRONG = [a_bomb, a_bomb_of_unknown_size, a_byte_more, a_byte_less, a_second_frame, half_a_frame]


def replace_packed(folder: Path, wrong: Callable[[bytes], bytes]) -> Path:
    """Replace the first shard's compressed file, and its size and hash in index.json as an attacker would."""
    index = json.loads((folder / "index.json").read_text())
    shard = index["shards"][0]
    packed = folder / shard["zip_data"]["basename"]
    packed.write_bytes(wrong(zstandard.decompress(packed.read_bytes())))
    shard["zip_data"]["bytes"] = packed.stat().st_size
    shard["zip_data"]["hashes"] = {"xxh3_64": hash_file(packed, "xxh3_64")}
    (folder / "index.json").write_text(json.dumps(index))
    return packed


@pytest.mark.parametrize("remote", [False, True])
@pytest.mark.parametrize("wrong", PACKED_WRONG)
def test_a_compressed_shard_never_exceeds_the_index(
    samples: list[Sample], tmp_path: Path, wrong: Callable[[bytes], bytes], remote: bool
) -> None:
    folder = write_dataset(tmp_path / "data", samples[:8], shards=1, compression="zstd:3")
    replace_packed(folder, wrong)
    local = tmp_path / "cache" if remote else folder
    tracemalloc.start()
    try:
        with pytest.raises(UserError, match=r"shard\.00000\.mds\.zstd: .*zstd.*(copy it|fetch)"):
            keys(local, remote=str(folder) if remote else None)
        assert tracemalloc.get_traced_memory()[1] < 64 << 20
    finally:
        tracemalloc.stop()
    assert [p for p in local.rglob("*.mds*") if p.suffix != ".zstd"] == []
    assert len(list(local.rglob("*.zstd"))) == (0 if remote else 1)


def test_a_compressed_shard_of_another_size_is_refused(samples: list[Sample], tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "data", samples[:8], shards=1, compression="zstd:3")
    packed = next(folder.rglob("*.zstd"))
    packed.write_bytes(packed.read_bytes() + b"x")
    with pytest.raises(UserError, match=r"shard\.00000\.mds\.zstd: .* bytes, index.json says"):
        keys(folder)


def test_another_compression_is_refused(samples: list[Sample], tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "data", samples[:8], shards=1, compression="gz:1")
    with pytest.raises(UserError, match=r"'gz:1': expected zstd"):
        keys(folder)


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


@pytest.mark.parametrize("compression", [None, "zstd:3"])
def test_a_shard_outside_the_folder_is_refused(
    samples: list[Sample], tmp_path: Path, compression: str | None
) -> None:
    folder = write_dataset(tmp_path / "data", samples[:8], shards=1, compression=compression)
    index = (folder / "index.json").read_text()
    stored = f"00000/shard.00000.mds{'.zstd' if compression else ''}"
    for name in ("../victim.mds", "/etc/victim.mds"):
        (folder / "index.json").write_text(index.replace(f'"{stored}"', f'"{name}"'))
        with pytest.raises(UserError, match="below the folder of the index"):
            keys(folder)
