"""Runs that start at the same moment, on one machine, take different numbers; ranks of a run the same."""

from __future__ import annotations

import os
import time
from multiprocessing.connection import Connection
from pathlib import Path

from streaming import StreamingDataset

from loaders.dataset import CaptionDataset, OrderOptions
from loaders.streams import Place
from tests.loaders.ranks_kit import World, receive, run_world, server

RUNS, TURNS = 4, 5


def _open_at(folder: str, moments: list[float], pipe: Connection) -> None:
    numbers = []
    for moment in moments:
        time.sleep(max(0.0, moment - time.time()))
        opened = CaptionDataset(OrderOptions([Place(folder)], 4))
        numbers.append(opened._shm_prefix_int)
        time.sleep(0.2)
        opened._locals_shm.cleanup()
    pipe.send(numbers)


def test_runs_that_start_together_do_not_meet(dataset: Path) -> None:
    context = server()
    moments = [time.time() + 3 + 0.6 * turn for turn in range(TURNS)]
    pipes = [context.Pipe() for _ in range(RUNS)]
    runs = [context.Process(target=_open_at, args=(str(dataset), moments, theirs)) for _, theirs in pipes]
    for run in runs:
        run.start()
    taken = [receive(ours) for ours, _ in pipes]
    for run in runs:
        run.join(20)
    for turn in zip(*taken, strict=True):
        assert len(set(turn)) == RUNS


def _number(folder: str) -> int:
    return CaptionDataset(OrderOptions([Place(folder)], 4))._shm_prefix_int


def test_ranks_of_a_node_share_a_number_and_nodes_do_not(dataset: Path) -> None:
    numbers = run_world(World(4, 2), _number, str(dataset))
    assert numbers[0] == numbers[1] != numbers[2] == numbers[3]


def test_streamings_own_loader_can_stand_beside(dataset: Path, tmp_path: Path) -> None:
    """It reads what every number holds; ours has to be what it expects."""
    ours = CaptionDataset(OrderOptions([Place(str(dataset))], 4))
    again = tmp_path / "again"
    os.symlink(dataset, again)
    stock = StreamingDataset(local=str(again), batch_size=4)
    assert stock._shm_prefix_int != ours._shm_prefix_int
    assert stock[0]["key"] == ours.get_item(0)["key"]
