"""The laws of the training loader (docs/decisions/0095): what step N sees depends on the recipe alone.

The global batch of a step is the same samples in the same slots, with the same captions, crops and pixels,
for any number of threads, workers, ranks and nodes, and after a resume at any step on any of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from loaders.loader import DataConfig
from tests.loaders.corpus import make_samples, write_dataset
from tests.loaders.ranks_kit import Played, Seen, World, play, play_from_each, run_world

GLOBAL = 8
SAMPLES = 45  # five global batches and five samples: 4 ranks have 12 samples each, if the last are padded
STEPS = SAMPLES // GLOBAL
EPOCHS = 2
WORLDS = [World(2), World(4), World(2, 2), World(4, 2), World(4, 4)]
# Ten resumes each; the others are in the slow suite.
QUICK = [World(1), World(4), World(4, 2)]
Steps = list[list[Seen]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("laws"), make_samples(SAMPLES), shards=5)


@pytest.fixture(scope="module")
def config(folder: Path) -> DataConfig:
    return DataConfig(str(folder), GLOBAL, image_size=8, seed=5, threads=1, dtype="uint8")


@pytest.fixture(scope="module")
def alone(config: DataConfig) -> Played:
    """What one rank without workers sees."""
    return play_alone(config, EPOCHS)


def play_alone(config: DataConfig, epochs: int) -> Played:
    played: Played = run_world(World(1), play, config, epochs)[0]
    return played


def global_batches(parts: list[Played], world: World) -> list[Steps]:
    """The samples of each step of each epoch, slot by slot; all ranks have as many steps.

    Slot k belongs to node k % nodes and there to rank k // nodes % ranks of the node.
    """
    epochs = []
    per_node = world.ranks // world.nodes
    order = [node * per_node + rank for rank in range(per_node) for node in range(world.nodes)]
    for number in range(len(parts[0].epochs)):
        ranks = [parts[rank].epochs[number] for rank in order]
        epochs.append([flat(zip(*step, strict=True)) for step in zip(*ranks, strict=True)])
    return epochs


def flat(parts: Iterable[Iterable[Any]]) -> list[Any]:
    return list(chain.from_iterable(parts))


def share(config: DataConfig, world: World) -> DataConfig:
    return replace(config, batch_size=GLOBAL // world.ranks)


def steps_after(whole: Played, state: int) -> Steps:
    """The global batches after the state with this number, over the ends of epochs."""
    return flat(whole.epochs)[state + 1 :]


def check_resumes(config: DataConfig, whole: Played, states: list[dict[str, Any]], world: World) -> None:
    """Each of `states`, resumed on `world`, continues as `whole` does."""
    parts = run_world(world, play_from_each, share(config, world), EPOCHS, states)
    for number in range(len(states)):
        continued = flat(global_batches([rank[number] for rank in parts], world))
        assert continued == steps_after(whole, number), (world, number)


@pytest.mark.parametrize("world", WORLDS, ids=str)
def test_ranks_and_nodes_share_the_steps_of_one(config: DataConfig, alone: Played, world: World) -> None:
    parts = run_world(world, play, share(config, world), EPOCHS)
    assert global_batches(parts, world) == alone.epochs


@pytest.mark.parametrize("changes", [{"threads": 3}, {"num_workers": 1}, {"num_workers": 2}, {"prefetch": 7}])
def test_threads_and_workers_change_nothing(
    config: DataConfig, alone: Played, changes: dict[str, int]
) -> None:
    assert play_alone(replace(config, **changes), EPOCHS).epochs == alone.epochs


def test_workers_of_ranks_change_nothing(config: DataConfig, alone: Played) -> None:
    world = World(2)
    parts = run_world(world, play, replace(share(config, world), num_workers=2), EPOCHS)
    assert global_batches(parts, world) == alone.epochs


@pytest.mark.parametrize(
    "world",
    [*QUICK, *(pytest.param(world, marks=pytest.mark.slow) for world in WORLDS if world not in QUICK)],
    ids=str,
)
def test_one_rank_stopped_at_any_step_goes_on_on_any_world(
    config: DataConfig, alone: Played, world: World
) -> None:
    check_resumes(config, alone, alone.states, world)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (World(4), World(1)),
        (World(2, 2), World(4)),
        pytest.param(World(4, 4), World(2), marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_ranks_stopped_at_any_step_go_on_on_any_world(
    config: DataConfig, alone: Played, before: World, after: World
) -> None:
    states = run_world(before, play, share(config, before), EPOCHS)[0].states
    assert len(states) == EPOCHS * STEPS
    check_resumes(config, alone, states, after)


@pytest.mark.parametrize("count", [9, 31, 39])
def test_no_sample_is_seen_twice_or_lost(tmp_path: Path, count: int) -> None:
    """With drop_last an epoch is count // GLOBAL whole global batches on any world; without, every sample."""
    config = DataConfig(
        str(write_dataset(tmp_path / "data", make_samples(count), shards=min(3, count))),
        GLOBAL, image_size=8, threads=1, dtype="uint8",
    )  # fmt: skip
    world = World(4, 2)
    keys = [[key for key, _ in flat(epoch)] for epoch in play_alone(config, 3).epochs]
    parts = run_world(world, play, share(config, world), 3)
    assert [[key for key, _ in flat(epoch)] for epoch in global_batches(parts, world)] == keys
    assert [len(epoch) for epoch in keys] == [count // GLOBAL * GLOBAL] * 3
    assert all(len(set(epoch)) == len(epoch) for epoch in keys)
    whole = play_alone(replace(config, drop_last=False), 3).epochs
    everything = sorted(sample.key for sample in make_samples(count))
    assert [sorted(key for key, _ in flat(epoch)) for epoch in whole] == [everything] * 3


def test_what_drop_last_leaves_out_is_another_part_each_epoch(config: DataConfig) -> None:
    epochs = play_alone(config, 6).epochs
    assert len({key for epoch in epochs for step in epoch for key, _ in step}) == SAMPLES
