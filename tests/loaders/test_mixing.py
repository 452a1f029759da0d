"""Mixes of real data sets: what a loader gives, on any world, after any resume; what is refused."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.errors import UserError
from loaders.loader import DataConfig, StreamConfig, build_loader
from loaders.policy import CaptionPolicy
from loaders.ramp import Ramp
from tests.loaders.corpus import FINGERPRINT, make_samples, write_dataset
from tests.loaders.mix_kit import DFN, GLOBAL, VECAP, make_streams, mix_config, write_streams
from tests.loaders.ranks_kit import Played, World, play, play_from_each, run_world
from tests.loaders.test_laws import flat, global_batches, play_alone, share, steps_after

EPOCHS = 3
STEPS = (VECAP + DFN) // GLOBAL
RAMP = Ramp({"vecap": 1, "dfn": 3}, "4ba", "0.8dur")


@pytest.fixture(scope="module")
def streams(tmp_path_factory: pytest.TempPathFactory) -> dict[str, StreamConfig]:
    return write_streams(tmp_path_factory.mktemp("mix"))


@pytest.fixture(scope="module")
def config(streams: dict[str, StreamConfig]) -> DataConfig:
    return mix_config(streams, ramp=RAMP, max_duration=f"{EPOCHS}ep")


@pytest.fixture(scope="module")
def alone(config: DataConfig) -> Played:
    return play_alone(config, EPOCHS)


def test_streams_have_their_shares_policies_and_epochs(streams: dict[str, StreamConfig]) -> None:
    loader = build_loader(mix_config(streams, max_duration="9ep"))
    assert loader.dataset.info.sources == ("alttext", "vecap", "rewrite")
    assert loader.dataset.stream_names == ("vecap", "dfn")
    assert len(loader) == STEPS
    samples = {sample.key: sample for part in make_streams() for sample in part}
    seen: dict[str, list[str]] = {"vecap": [], "dfn": []}
    sources: Counter[tuple[str, str]] = Counter()
    for _ in range(9):
        for batch in loader:
            count = int((batch["stream"] == 0).sum())
            assert abs(count - GLOBAL * 2 / 3) < 1
            for row, key in enumerate(batch["key"]):
                stream = loader.dataset.stream_names[int(batch["stream"][row])]
                source = loader.dataset.info.sources[int(batch["caption_source"][row])]
                assert key.startswith("dfn/") == (stream == "dfn")
                captions = samples[key].captions[source]
                ids = batch["text"][row].tolist()
                padded = [caption + [0] * (16 - len(caption)) for caption in captions]
                assert ids in padded
                if stream == "dfn":
                    first = len(samples[key].captions["rewrite"])
                    best = int(np.argmax(samples[key].scores[first : first + len(captions)]))
                    assert ids == padded[best]
                seen[stream].append(key)
                sources[stream, source] += 1
    for stream, size in (("vecap", VECAP), ("dfn", DFN)):
        assert abs(len(seen[stream]) - 9 * STEPS * GLOBAL * {"vecap": 2, "dfn": 1}[stream] / 3) < 2
        for begin in range(0, len(seen[stream]) - size + 1, size):
            assert len(set(seen[stream][begin : begin + size])) == size
    assert {name for name, _ in sources} == {"vecap", "dfn"}
    assert set(sources) == {("vecap", "alttext"), ("vecap", "vecap"), ("dfn", "alttext")}
    share_of_vecap = sources["vecap", "vecap"] / len(seen["vecap"])
    assert abs(share_of_vecap - 0.5) < 5 * 0.5 / len(seen["vecap"]) ** 0.5


def test_a_mix_of_one_is_the_data_set_itself(tmp_path: Path) -> None:
    """Where an epoch is whole batches; else a mix goes on where the data set alone leaves samples out."""
    folder = str(write_dataset(tmp_path / "data", make_samples(5 * GLOBAL)))
    settings: dict[str, Any] = {
        "batch_size": GLOBAL,
        "image_size": 8,
        "seed": 5,
        "threads": 1,
        "max_duration": "3ep",
        "policy": CaptionPolicy({"alttext": 1}, ramp=Ramp({"vecap": 1}, "2ba", "2ep")),
    }
    plain = play_alone(DataConfig(folder, **settings), 3)
    mixed = play_alone(DataConfig(streams={"only": StreamConfig(folder)}, **settings), 3)
    assert mixed.epochs == plain.epochs


@pytest.mark.parametrize("world", [World(2), World(4, 2)], ids=str)
def test_ranks_and_nodes_share_the_steps_of_one(config: DataConfig, alone: Played, world: World) -> None:
    parts = run_world(world, play, share(config, world), EPOCHS)
    assert global_batches(parts, world) == alone.epochs


@pytest.mark.parametrize("changes", [{"threads": 3}, {"num_workers": 2}])
def test_threads_and_workers_change_nothing(
    config: DataConfig, alone: Played, changes: dict[str, int]
) -> None:
    assert play_alone(replace(config, **changes), EPOCHS).epochs == alone.epochs


def test_stopped_at_any_step_it_goes_on_on_any_world(config: DataConfig, alone: Played) -> None:
    for world in (World(1), World(2)):
        parts = run_world(world, play_from_each, share(config, world), EPOCHS, alone.states)
        for number in range(len(alone.states)):
            continued = flat(global_batches([rank[number] for rank in parts], world))
            assert continued == steps_after(alone, number), (world, number)


def test_copies_of_a_data_set_do_not_walk_in_step(tmp_path: Path) -> None:
    """With other captions in each, say; the same images would else stand side by side at every step."""
    copies = {
        name: StreamConfig(str(write_dataset(tmp_path / name, make_samples(60)))) for name in ("one", "two")
    }
    config = DataConfig(batch_size=2, streams=copies, image_size=8, shuffle=True)
    samples = build_loader(config).dataset.order().rows(0, np.arange(120)).samples.reshape(-1, 2)
    assert sorted(samples[:, 0] + 60) == sorted(samples[:, 1]) == list(range(60, 120))
    assert (samples[:, 0] + 60 == samples[:, 1]).mean() < 0.2


def test_a_bad_sample_is_replaced_within_its_stream(tmp_path: Path) -> None:
    vecap, dfn = make_streams()
    dfn = [
        replace(sample, image=sample.image[:-400]) if i % 3 == 0 else sample for i, sample in enumerate(dfn)
    ]
    streams = {
        "vecap": StreamConfig(str(write_dataset(tmp_path / "vecap", vecap, with_scores=False))),
        "dfn": StreamConfig(
            str(write_dataset(tmp_path / "dfn", dfn, shards=3, sources=("rewrite", "alttext")))
        ),
    }
    loader = build_loader(mix_config(streams, bad_samples=0.5))
    bad = {sample.key for sample in dfn[::3]}
    for batch in loader:
        assert not bad & set(batch["key"])
        for stream, key in zip(batch["stream"].tolist(), batch["key"], strict=True):
            assert key.startswith("dfn/") == (stream == 1)
    counts = loader.dataset.counters.total()
    assert counts.bad_samples > 0
    assert counts.samples == STEPS * GLOBAL


def test_streams_are_fetched_from_their_own_remotes_into_one_cache_limit(
    streams: dict[str, StreamConfig], tmp_path: Path, alone: Played, config: DataConfig
) -> None:
    cached = {
        name: replace(stream, local=str(tmp_path / name), remote=stream.local)
        for name, stream in streams.items()
    }
    sizes = [
        path.stat().st_size for stream in streams.values() for path in Path(stream.local).glob("*/*.mds")
    ]
    indices = sum(Path(stream.local, "index.json").stat().st_size for stream in streams.values())
    limit = indices + 4 * max(sizes)
    assert limit < indices + sum(sizes)
    for limited in (None, limit):
        fetched = replace(config, streams=cached, cache_limit=limited, num_workers=0)
        assert play_alone(fetched, EPOCHS).epochs == alone.epochs


def test_a_checkpoint_within_an_epoch_is_of_one_mix(config: DataConfig, alone: Played) -> None:
    state = alone.states[1]
    assert state["sample_in_epoch"] == 2 * GLOBAL
    between = {**state, "epoch": 1, "sample_in_epoch": 0}
    for changes in (
        {"streams": {n: replace(s, weight=1) for n, s in config.streams.items()}},
        {"streams": dict(reversed(config.streams.items()))},
        {"ramp": None},
        {"epoch_size": 40},
        {"batch_size": 4},
        {"max_duration": "4ep"},
        {"num_canonical_nodes": 2},
    ):
        other = build_loader(replace(config, **changes))  # type: ignore[arg-type]
        with pytest.raises(UserError, match=r"saved after 16 samples of an epoch of another mix"):
            other.load_state_dict(state)
        other.load_state_dict(between)
    same = build_loader(replace(config, num_workers=1, policy=CaptionPolicy({"alttext": 1})))
    same.load_state_dict(state)
    alone_now = build_loader(DataConfig(config.streams["vecap"].local, GLOBAL, image_size=8))
    with pytest.raises(UserError, match="another mix"):
        alone_now.load_state_dict(state)


def edited(folder: Path, streams: dict[str, StreamConfig], **tokenizer: object) -> dict[str, StreamConfig]:
    """The streams, the second one's dataset.json with another tokenizer."""
    described = json.loads(Path(streams["dfn"].local, "dataset.json").read_text())
    described["tokenizer"] |= tokenizer
    (folder / "dataset.json").write_text(json.dumps(described))
    (folder / "index.json").write_text(Path(streams["dfn"].local, "index.json").read_text())
    return {**streams, "dfn": replace(streams["dfn"], local=str(folder))}


@pytest.mark.parametrize(
    "tokenizer", [{"fingerprint": "b" * 64}, {"context_length": 77}, {"pad_id": 1}], ids=str
)
def test_streams_of_other_tokenizers_are_refused(
    streams: dict[str, StreamConfig], tmp_path: Path, tokenizer: dict[str, object]
) -> None:
    with pytest.raises(UserError, match=r"data.streams.dfn: .* but vecap has .*shard both"):
        build_loader(mix_config(edited(tmp_path, streams, **tokenizer)))
    with pytest.raises(UserError, match="tokenized with clip"):
        build_loader(mix_config(streams, tokenizer_fingerprint="b" * 64))
    build_loader(mix_config(streams, tokenizer_fingerprint=FINGERPRINT))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"local": "x"}, "data.local: cannot be given beside data.streams"),
        ({"remote": "x"}, "data.remote: cannot be given beside data.streams"),
        ({"drop_last": False}, "data.drop_last: false given; a mix has no end"),
        ({"epoch_size": 0}, "data.epoch_size: 0 given; expected at least 1"),
        ({"epoch_size": 7}, r"data.epoch_size: 7 samples, less than global_train_batch_size \(8\)"),
        ({"batch_size": 80}, "the streams have 58 samples, less than global_train_batch_size"),
        ({"streams": {}}, "data.local: missing"),
        ({"streams": {}, "local": "x", "ramp": RAMP}, r"data.ramp: only for a mix"),
        ({"streams": {}, "local": "x", "epoch_size": 9}, r"data.epoch_size: only for a mix"),
        ({"ramp": Ramp({"dnf": 1})}, r"data.ramp.to.dnf: unknown stream; .* vecap, dfn \(did you mean dfn"),
        ({"ramp": Ramp({"dfn": 1}, "9ba", "2ba")}, r"data.ramp: ends at 2ba \(step 2\), before it begins at"),
        ({"ramp": RAMP, "max_duration": None}, "max_duration: None given"),
        ({"num_canonical_nodes": 30}, "num_canonical_nodes: 30 given; expected 1 to 21"),
        (
            {"policy": CaptionPolicy({"vecpa": 1})},
            r"stream vecap: data.policy.weights.vecpa: unknown source.*did you mean vecap",
        ),
        ({"policy": CaptionPolicy(within="hcs")}, "data.policy.within: hcs needs CLIP scores"),
    ],
)
def test_what_cannot_be_is_refused(
    streams: dict[str, StreamConfig], changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        build_loader(replace_settings(streams, changes))


def replace_settings(streams: dict[str, StreamConfig], changes: dict[str, Any]) -> DataConfig:
    settings = {"streams": streams, "batch_size": GLOBAL, "image_size": 8, "max_duration": "3ep", **changes}
    return DataConfig(**settings)


def test_streams_that_cannot_be_are_named(streams: dict[str, StreamConfig]) -> None:
    def changed(**settings: Any) -> dict[str, StreamConfig]:
        return {**streams, "dfn": replace(streams["dfn"], **settings)}

    with pytest.raises(UserError, match=r"data.streams.dfn.policy.weights.vecap: unknown source"):
        build_loader(mix_config(changed(policy=CaptionPolicy({"vecap": 1}))))
    with pytest.raises(UserError, match=r"data.streams: weight.dfn: -1 given"):
        build_loader(mix_config(changed(weight=-1)))
    with pytest.raises(UserError, match=r"data.streams: weight: every weight is 0"):
        build_loader(mix_config({name: replace(stream, weight=0) for name, stream in streams.items()}))
    same = streams["vecap"].local + "/../vecap"
    with pytest.raises(UserError, match=r"data.streams.dfn.local: .* is the folder of stream vecap too"):
        build_loader(mix_config(changed(local=same)))
    with pytest.raises(UserError, match=r"no dataset.json"):
        build_loader(mix_config(changed(local="nowhere")))
