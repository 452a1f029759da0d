"""The measurements one after the other, within the time."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.gpu.board import DONE, DROPPED, FAILED, Board, Row
from benchmarks.gpu.card import Card
from benchmarks.gpu.facts import versions
from benchmarks.gpu.plan import Measurement, dropped, fits
from benchmarks.gpu.runner import run
from benchmarks.gpu.task import Task
from benchmarks.loader.report import machine
from engine.errors import UserError

FACTS_LIMIT_S = 240.0
"""A first import of torch from a cold disk takes minutes."""
DATA = Measurement("data", "data", 100)
REPORT_S = 10.0
"""Kept for the chart and the tables."""


def look_around(task: Task, card: Card | None) -> dict[str, Any]:
    """Machine, card and what is installed; printed too.

    Raises:
        UserError: there should be a GPU, and torch does not see one.
    """
    row = run(task, FACTS_LIMIT_S)
    nothing = {"errors": {"python": row.get("reason")}, "cuda": None, "card": None, "memory_gib": 0.0}
    facts = {"machine": machine(), "versions": versions(), "driver": None, **row.get("result", nothing)}
    sees_card = facts["card"] is not None
    if card is not None:
        facts |= {"card": card.name, "memory_gib": card.memory_gib, "driver": card.driver}
    say("\n".join(describe(facts)))
    if task.settings.device == "cuda" and not sees_card:
        raise UserError(
            "--device cuda: torch sees no GPU here; run it where there is one (--device cpu --quick checks "
            "that everything runs)"
        )
    return facts


class Session:
    """Measures on a board, in a folder, until `end` (of time.monotonic())."""

    def __init__(self, board: Board, work: Path, end: float) -> None:
        """Measure nothing yet."""
        self.board, self._work, self._end = board, work, end - REPORT_S

    def measure(self, wanted: Sequence[Measurement]) -> list[str]:
        """Make what has not been made; returns the names of what failed or is not right."""
        left = [one for one in wanted if not self.board.done(one.name)]
        settings = self.board.settings
        if left and not self._task(DATA).data.complete(settings):
            self._measure(DATA)
            if not self.board.done(DATA.name):
                return [DATA.name]
        for one in left:
            self._measure(one)
        return [one.name for one in wanted if _is_bad(self.board.rows[one.name])]

    def _measure(self, one: Measurement) -> None:
        left_s = self._end - time.monotonic()
        if not fits(one, self.board, left_s):
            row = dropped(one, left_s)
        else:
            row = run(self._task(one), min(one.limit_s, left_s))
            if row["status"] == FAILED and left_s < one.limit_s and time.monotonic() >= self._end:
                row = dropped(one, left_s) | {"seconds": row["seconds"]}
        self.board.put(one.name, {"choice": one.choice, **row})
        say(f"{one.name}: {_words(row)}")

    def _task(self, one: Measurement) -> Task:
        return Task(one.kind, str(self._work), one.name, self.board.settings, one.choice)


def _is_bad(row: Row) -> bool:
    return row["status"] == FAILED or row.get("result", {}).get("right") is False


def describe(facts: dict[str, Any]) -> list[str]:
    """What is installed, line by line."""
    card = facts["card"]
    lines = [facts["machine"]]
    if card:
        lines.append(f"{card}, {facts['memory_gib']:.1f} GiB, driver {facts['driver']}")
    else:
        lines.append("no GPU: the figures only show that everything runs")
    packages = {name: found for name, found in facts["versions"].items() if name != "engine.native"}
    known = [f"{name} {found or 'none'}" for name, found in packages.items()]
    lines.append(", ".join(known) + f", CUDA of torch {facts['cuda']}")
    return lines + [f"{name} does not import: {error}" for name, error in facts["errors"].items()]


def _words(row: Row) -> str:
    if row["status"] == DONE:
        shown = [f"{name} {_number(value)}" for name, value in row["result"].items() if value is not None]
        return f"{row['seconds']:.0f} s; " + ", ".join(shown)
    verb = {FAILED: "FAILED", DROPPED: "dropped"}[row["status"]]
    return f"{verb}: {row['reason']}"


def _number(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def say(line: str) -> None:
    """Tell how it goes."""
    print(line, file=sys.stderr, flush=True)
