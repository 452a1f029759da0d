"""What the two trainers write about their steps."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

LOSS, WAIT = "loss/train/total", "throughput/data_wait_fraction"

# Train Epoch: 0 [ 128/6016 (2%)] Data (t): 0.123 Batch (t): 0.456, 280.7/s, ... Loss: 4.8520 (4.8520)
_THEIRS = re.compile(
    r"Train Epoch: (?P<epoch>\d+) \[ *(?P<samples>\d+)/(?P<all>\d+) .*?Data \(t\): (?P<data>[\d.]+) "
    r"Batch \(t\): (?P<batch>[\d.]+),.* Loss: (?P<loss>\S+) "
)
_OURS = re.compile(r"step (?P<step>\d+)/\d+ ")


@dataclass(frozen=True)
class TheirStep:
    """A line of open_clip's log about a step.

    Attributes:
        step: steps taken, this one included.
        loss: of this step's batch.
        data_s, batch_s: seconds a step waited for data and took, mean since the line before.
    """

    step: int
    loss: float
    data_s: float
    batch_s: float


@dataclass(frozen=True)
class Log:
    """What a run logged: loss by step (steps taken, this one included), share of the time without data."""

    losses: Mapping[int, float]
    data_wait: float


def their_line(line: str, batch: int) -> TheirStep | None:
    """A line of open_clip's log, if it is about a step."""
    found = _THEIRS.search(line)
    if found is None:
        return None
    step = (int(found["epoch"]) * int(found["all"]) + int(found["samples"])) // batch
    return TheirStep(step, float(found["loss"]), float(found["data"]), float(found["batch"]))


def read_theirs(path: Path, batch: int, skip: int) -> Log:
    """open_clip's out.log; waiting counts from the line behind step `skip`."""
    lines = (their_line(line, batch) for line in path.read_text(encoding="utf-8").splitlines())
    steps = [step for step in lines if step is not None]
    # A line's means are over the steps since the line before.
    spans = [(b.step - a.step, b) for a, b in pairwise(steps) if a.step >= skip]
    took = sum(count * step.batch_s for count, step in spans)
    waited = sum(count * step.data_s for count, step in spans)
    return Log({step.step: step.loss for step in steps}, waited / took if took else 0.0)


def read_ours(path: Path, skip: int) -> Log:
    """log.jsonl of train/run.py; waiting counts behind step `skip`, each entry for as many steps."""
    entries = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    losses = {int(entry["step"]) + 1: entry[LOSS] for entry in entries if LOSS in entry}
    waits = [entry[WAIT] for entry in entries if WAIT in entry and entry["step"] > skip]
    return Log(losses, sum(waits) / len(waits) if waits else 0.0)


def step_of_line(line: str, batch: int) -> int | None:
    """Steps taken, from a line of either trainer's terminal output."""
    ours = _OURS.match(line)
    if ours is not None:
        return int(ours["step"])
    theirs = their_line(line, batch)
    return theirs.step if theirs else None
