"""Options of whole runs: averaged weights and locked towers, resumed and evaluated."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from tests.train.kit import assert_same
from tests.train.run_kit import COMPOSER, command, evaluated, losses, recalls_of, retrieval_of, run, weights
from train.keeping.checkpoints import load_model
from train.keeping.seals import load_data

SHORT = ["max_duration=6ba", "save_interval=3ba"]
EMA = [*SHORT, "ema={half_life: 2ba}"]


@pytest.fixture(scope="module")
def averaged(place: Path) -> Path:
    run(command(place, "averaged", *EMA))
    return place / "runs" / "averaged"


def average(folder: Path) -> dict[str, torch.Tensor]:
    state = load_data(folder / "latest-rank0.pt")["state"]
    found = dict(state["algorithms"])["AverageWeights"]
    assert found["steps"] == 6
    return dict(found["weights"])


def back_to_step_3(averaged: Path, name: str) -> Path:
    """A copy of the run, as it was when its first checkpoint was written."""
    folder = Path(shutil.copytree(averaged, averaged.parent / name, symlinks=True))
    for path in folder.glob("ep1-ba6*"):
        path.unlink()
    return folder


def test_evaluation_takes_the_average_or_what_it_is_told(place: Path, averaged: Path) -> None:
    found = {
        which: evaluated(averaged, place / which, f"held_out={place / 'test'}", "--weights", which)
        for which in ("averaged", "trained")
    }
    assert retrieval_of(averaged) == recalls_of(found["averaged"])
    ids = {which: table["about"]["model"]["id"] for which, table in found.items()}
    assert ids["averaged"] != ids["trained"]


@pytest.mark.slow
def test_a_resumed_average_is_the_same_bit_for_bit(place: Path, averaged: Path) -> None:
    folder = back_to_step_3(averaged, "averaged-again")
    (folder / "log.jsonl").unlink()
    run(command(place, folder.name, *EMA, "autoresume=true"))
    assert list(losses(folder)) == [3, 4, 5]
    assert_same(weights(folder), weights(averaged), 0)
    assert_same(average(folder), average(averaged), 0)


@pytest.mark.slow
def test_a_locked_tower_from_a_run_of_ours(place: Path, averaged: Path) -> None:
    """Two ranks, with microbatches and without: one run; the image tower stays the average it came from."""
    more = [
        *SHORT,
        f"model.weights={{path: {averaged}, towers: image}}",
        "model.lock_image={unlocked_groups: 1}",
    ]
    for name, size in (("locked", "null"), ("locked-micro", "5")):
        micro = f"device_train_microbatch_size={size}"
        run(command(place, name, *more, micro, "retrieval=null", launcher=COMPOSER))
    one, other = (place / "runs" / name for name in ("locked", "locked-micro"))
    assert losses(other) == pytest.approx(losses(one), rel=1e-5)
    start, found = load_model(averaged)[0].state_dict(), load_model(one)[0].state_dict()
    for name, value in found.items():
        if name.startswith("clip.visual.") and name != "clip.visual.proj":
            assert torch.equal(value, start[name]), name
    assert not torch.equal(found["clip.visual.proj"], start["clip.visual.proj"])
    moments = load_data(one / "latest-rank0.pt")["state"]["optimizers"]["AdamW"]["state"]
    assert {name for name in moments if name.startswith("clip.visual.")} == {"clip.visual.proj"}


@pytest.mark.slow
def test_a_resumed_run_takes_the_recipes_learning_rate(place: Path, averaged: Path) -> None:
    folder = back_to_step_3(averaged, "slower")
    start = weights_at(folder / "ep0-ba3-rank0.pt")
    run(command(place, folder.name, *EMA, "retrieval=null", "autoresume=true", "optimizer.lr=0"))
    assert (folder / "latest-rank0.pt").resolve().name == "ep1-ba6-rank0.pt"
    assert_same(weights(folder), start, 0)


def weights_at(path: Path) -> dict[str, torch.Tensor]:
    return dict(load_data(path)["state"]["model"])
