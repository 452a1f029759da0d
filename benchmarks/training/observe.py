"""Watches a trainer from outside: one clock for both, which reads the steps off their output."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.training.logs import step_of_line
from engine.errors import UserError


class TrainerFailedError(UserError):
    """A trainer ended with an error."""


@dataclass(frozen=True)
class Pace:
    """Of the steady state, from the first line behind `skip` steps to the last one.

    Attributes:
        steps: in that time.
        seconds: of the clock.
        cpu_s: processor time of the trainer and its workers.
        start_s: from the start to the first line about a step.
        begin_s: from the start to the steady state.
    """

    steps: int
    seconds: float
    cpu_s: float
    start_s: float
    begin_s: float


@dataclass(frozen=True)
class _Mark:
    step: int
    clock: float
    cpu: float


def observe(words: Sequence[str], log: Path, batch: int, skip: int) -> Pace:
    """Runs a trainer to its end; its output goes to `log`.

    Raises:
        TrainerFailedError: it failed, or said too little about its steps.
    """
    began = time.perf_counter()
    marks: list[_Mark] = []
    log.parent.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with (
        log.open("w", encoding="utf-8") as file,
        subprocess.Popen(
            words,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env=environment,
        ) as process,
    ):
        assert process.stdout is not None
        for line in process.stdout:
            file.write(line)
            step = step_of_line(line, batch)
            if step is not None and (not marks or step > marks[-1].step):
                marks.append(_Mark(step, time.perf_counter(), _cpu_seconds(process.pid)))
    if process.returncode:
        last = log.read_text(encoding="utf-8").strip().splitlines()[-1:]
        raise TrainerFailedError(
            f"{' '.join(words[1:3])}: exit code {process.returncode}: {last} (see {log})"
        )
    return _pace(marks, skip, began, log)


def _pace(marks: Sequence[_Mark], skip: int, began: float, log: Path) -> Pace:
    steady = [mark for mark in marks if mark.step >= skip]
    if len(steady) < 2:
        raise TrainerFailedError(f"{log}: fewer than two lines about steps behind step {skip}; train longer")
    first, last = steady[0], steady[-1]
    return Pace(
        last.step - first.step,
        last.clock - first.clock,
        last.cpu - first.cpu,
        marks[0].clock - began,
        first.clock - began,
    )


def _cpu_seconds(pid: int) -> float:
    """Of a process and its children that live."""
    total = 0.0
    try:
        root = psutil.Process(pid)
        for process in (root, *root.children(recursive=True)):
            times = process.cpu_times()
            total += times.user + times.system
    except psutil.NoSuchProcess:
        pass
    return total
