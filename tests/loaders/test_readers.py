"""Our readers, our shard finder and our view of what is there are Streaming's, only quicker."""

from __future__ import annotations

import gc
import json
from pathlib import Path

import numpy as np
import pytest
import streaming.base.dataset
from hypothesis import given
from hypothesis import strategies as st
from streaming.base.format import reader_from_json
from streaming.base.spanner import Spanner

from engine.collector import collector_paused
from engine.errors import UserError
from loaders.dataset import CaptionDataset, OrderOptions
from loaders.readers import ShardFinder, read_readers
from loaders.streams import Place
from tests.loaders.corpus import Sample, write_dataset


def described(file: object) -> list[object]:
    return [getattr(file, name, None) for name in ("basename", "bytes", "hashes")]


@pytest.mark.parametrize("compression", [None, "zstd:3"])
def test_readers_are_those_of_streaming(
    samples: list[Sample], tmp_path: Path, compression: str | None
) -> None:
    folder = write_dataset(tmp_path / "data", samples[:12], shards=3, compression=compression)
    index = json.loads((folder / "index.json").read_text())
    found = read_readers(str(folder), "")
    assert len(found) == 3
    for ours, entry in zip(found, index["shards"], strict=True):
        expected = vars(reader_from_json(str(folder), "", entry))
        assert set(vars(ours)) == set(expected)
        for name, value in vars(ours).items():
            if name in ("raw_data", "zip_data"):
                assert described(value) == described(expected[name])
            elif name != "file_pairs":
                assert value == expected[name], name
        assert ours.file_pairs == [(ours.raw_data, ours.zip_data)]
    assert found[0].column_names is found[2].column_names


@given(st.lists(st.integers(0, 9), min_size=1, max_size=30).filter(any))
def test_a_sample_is_found_where_streaming_finds_it(sizes: list[int]) -> None:
    ours, theirs = ShardFinder(np.array(sizes)), Spanner(np.array(sizes), span_size=4)
    for sample in range(sum(sizes)):
        assert ours[sample] == theirs[sample]
    for sample in (-1, sum(sizes)):
        with pytest.raises(IndexError):
            ours[sample]


def test_streaming_itself_is_left_as_it_was(dataset: Path) -> None:
    assert isinstance(CaptionDataset(OrderOptions([Place(str(dataset))], 8)).spanner, ShardFinder)
    assert streaming.base.dataset.Spanner is Spanner
    assert gc.isenabled()


def test_the_collector_stays_off_if_it_was() -> None:
    gc.disable()
    try:
        with collector_paused():
            assert not gc.isenabled()
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_a_checkpoint_within_an_epoch_of_another_order_is_refused(dataset: Path) -> None:
    ours = CaptionDataset(OrderOptions([Place(str(dataset))], 8))
    state = ours.state_dict(8, from_beginning=True)
    ours.load_state_dict(state)
    del state["order"]  # as Streaming itself saves it
    with pytest.raises(UserError, match="after 8 samples of an epoch in the order 'of Streaming'"):
        ours.load_state_dict(state)
    ours.load_state_dict({**state, "sample_in_epoch": 0})


@pytest.mark.parametrize("limit", [None, 1 << 30])
def test_a_cache_with_everything_fetches_nothing(dataset: Path, tmp_path: Path, limit: int | None) -> None:
    """Shards that are there are found, whether the cache is walked through (it has a limit) or not."""
    cache = tmp_path / "cache"
    CaptionDataset(OrderOptions([Place(str(cache), str(dataset))], 8)).read(np.arange(48))
    before = {path: path.stat().st_mtime_ns for path in cache.rglob("*.mds")}
    assert len(before) == 4
    again = CaptionDataset(OrderOptions([Place(str(cache), str(dataset))], 8, cache_limit=limit))
    again.streams[0]._downloader = None  # type: ignore[assignment]
    again.read(np.arange(48))
    assert {path: path.stat().st_mtime_ns for path in cache.rglob("*.mds")} == before
