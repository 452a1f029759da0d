"""Bad samples: replaced by the same neighbour everywhere, counted, and not without end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from engine.errors import UserError
from engine.shards.encodings import encode_column
from engine.shards.sample_hash import SAMPLE_HASH, batch_hashes
from loaders.counters import Counters, ReadCounts
from loaders.loader import Batch, DataConfig, build_loader
from tests.loaders import corpus
from tests.loaders.corpus import Sample, make_samples, write_dataset

COUNT = 24
BAD = (5, 6, 11)  # two in a row, and the last of a shard of twelve
NEIGHBOUR = {5: 7, 6: 7, 11: 0}


def broken_samples() -> list[Sample]:
    samples = make_samples(COUNT)
    for i in BAD:
        samples[i] = replace(samples[i], image=samples[i].image[:-300])
    return samples


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("broken"), broken_samples(), shards=2)


def settings(folder: Path, **changes: object) -> DataConfig:
    base = DataConfig(str(folder), batch_size=8, image_size=8, seed=3, threads=1, dtype="uint8")
    return replace(base, **changes)


def rows(batches: list[Batch]) -> list[tuple[str, bytes, bytes, int]]:
    """Everything a sample became, sorted: the order within a step is no promise among workers."""
    return sorted(
        (b["key"][i], b["image"][i].numpy().tobytes(), b["text"][i].numpy().tobytes(), int(source))
        for b in batches
        for i, source in enumerate(b["caption_source"])
    )


def test_the_next_sound_sample_of_the_shard_takes_the_place(broken: Path) -> None:
    loader = build_loader(settings(broken, shuffle=False))
    seen = [key for batch in loader for key in batch["key"]]
    numbers = [NEIGHBOUR.get(i, i) for i in range(COUNT)]
    assert seen == [f"site/{i:04d}.jpg" for i in numbers]
    counts = loader.dataset.counters.total()
    assert (counts.samples, counts.bad_samples, counts.shards_opened) == (COUNT, len(BAD), 2)
    assert counts.bytes_read > sum(len(sample.image) for sample in broken_samples())
    assert loader.dataset.counters.replaced() == list(BAD)


def test_the_neighbour_comes_whole(broken: Path) -> None:
    """Image, caption and crop are those that the neighbour has as itself."""
    found = rows(list(build_loader(settings(broken))))
    for key in {f"site/{i:04d}.jpg" for i in NEIGHBOUR.values()}:
        mine = [row for row in found if row[0] == key]
        assert len(mine) > 1
        assert len(set(mine)) == 1


def test_threads_workers_and_batches_agree(broken: Path) -> None:
    alone = rows(list(build_loader(settings(broken))))
    for changes in ({"threads": 3}, {"num_workers": 2}, {"batch_size": 3}):
        loader = build_loader(settings(broken, **changes))
        assert rows(list(loader)) == alone
        assert loader.dataset.counters.total().bad_samples == len(BAD)


def test_a_resumed_run_agrees(broken: Path) -> None:
    whole = list(build_loader(settings(broken)))
    first = build_loader(settings(broken))
    batches = iter(first)
    next(batches)
    state = first.state_dict()
    second = build_loader(settings(broken))
    second.load_state_dict(state)
    assert [rows([b]) for b in second] == [rows([b]) for b in whole[1:]]


def test_over_the_budget_the_run_stops_with_the_list(tmp_path: Path) -> None:
    samples = [
        replace(s, image=s.image[: -300 if i % 2 else None]) for i, s in enumerate(make_samples(COUNT))
    ]
    folder = write_dataset(tmp_path / "worse", samples, shards=1)
    with pytest.raises(
        UserError, match=r"12 bad samples in 24, 8 allowed .*'site/0001.jpg', 'site/0003.jpg'"
    ):
        list(build_loader(settings(folder, batch_size=24)))
    assert len(list(build_loader(settings(folder, bad_samples=0.5)))) == 3


def test_a_shard_without_a_sound_sample_is_an_error(tmp_path: Path) -> None:
    samples = [replace(s, image=s.image[:-300]) for s in make_samples(8)]
    folder = write_dataset(tmp_path / "none", samples, shards=1)
    with pytest.raises(UserError, match=r"'site/0000.jpg' cannot be used, and neither"):
        list(build_loader(settings(folder, shuffle=False)))


def test_sample_hashes_are_compared_on_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    columns = corpus.columns_of(True)

    def hashed(sample: Sample, sources: Sequence[str]) -> dict[str, object]:
        row = corpus_row(sample, sources)
        encoded = {name: encode_column(kind, [row[name]]) for name, kind in columns.items()}
        wrong = sample.key.endswith("0003.jpg")
        return {**row, SAMPLE_HASH: batch_hashes(encoded)[0] ^ np.uint64(wrong)}

    corpus_row = corpus.row
    monkeypatch.setattr(corpus, "row", hashed)
    folder = write_dataset(tmp_path / "hashed", make_samples(16), shards=2)
    for check, expected in ((False, 3), (True, 4)):
        loader = build_loader(settings(folder, shuffle=False, check_samples=check))
        assert next(iter(loader))["key"][3] == f"site/{expected:04d}.jpg"
        assert loader.dataset.counters.total().bad_samples == int(check)


@pytest.mark.parametrize("share", [-0.1, 1.5, float("nan")])
def test_impossible_budgets_are_refused(broken: Path, share: float) -> None:
    with pytest.raises(UserError, match=r"data\.bad_samples"):
        settings(broken, bad_samples=share)


def test_counts_are_subtracted_field_by_field() -> None:
    counters = Counters()
    counters.add(samples=5, shards_opened=3, shards_fetched=1)
    before = counters.total()
    counters.add(samples=2, shards_opened=1)
    counters.add_replaced(np.array([4, 9]))
    assert counters.total() - before == ReadCounts(samples=2, bad_samples=2, shards_opened=1)
    assert (before.cache_hits, counters.total().cache_hits) == (2, 3)
