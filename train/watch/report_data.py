"""A run's files as a report shows them: curves, resumptions, dropped steps, config and final table."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from engine.errors import UserError

LOG, CONFIG, RESULTS, BAD_STEPS = "log.jsonl", "config.yaml", "results.json", "bad_steps.jsonl"
BEGAN, TOTAL = "run/began", "run/steps"
# A screen shows no more; longer curves become means of as many stretches.
POINTS = 800
LISTED = 100


@dataclass
class Curve:
    """One metric: steps and values of the same length, ascending steps."""

    steps: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)

    def add(self, step: int, value: float) -> None:
        """Append, in place of an earlier value of the same step."""
        if self.steps and self.steps[-1] == step:
            self.values[-1] = value
        else:
            self.steps.append(step)
            self.values.append(value)

    def cut_behind(self, step: int) -> None:
        """Forget what came after `step`: a resumed run takes those steps again."""
        while self.steps and self.steps[-1] > step:
            self.steps.pop()
            self.values.pop()

    def thinned(self) -> Curve:
        """At most POINTS points: means of stretches, each at its last step; the last point stays as it is."""
        count = len(self.steps)
        if count <= POINTS:
            return self
        edges = [(count - 1) * i // (POINTS - 1) for i in range(POINTS)]
        cuts = list(pairwise(edges))
        means = [sum(self.values[a:b]) / (b - a) for a, b in cuts]
        return Curve([*(self.steps[b - 1] for _, b in cuts), self.steps[-1]], [*means, self.values[-1]])


@dataclass(frozen=True)
class RunData:
    """What a run left behind.

    Attributes:
        folder: as it was given.
        name: of the run.
        config: YAML text.
        curves: by metric; values that are not finite are left out.
        resumed: steps at which a process took over from one before it.
        total: steps that the run is to have, or None.
        seconds: between its first and its last log line, stops included.
        results: results.json, or None where the run has not come to its end.
        bad_steps: the first LISTED lines of bad_steps.jsonl.
        bad_count: how many there are.
    """

    folder: Path
    name: str
    config: str
    curves: dict[str, Curve]
    resumed: tuple[int, ...]
    total: int | None
    seconds: float
    results: dict[str, Any] | None
    bad_steps: list[dict[str, Any]]
    bad_count: int

    @property
    def steps(self) -> int:
        """How far it came."""
        return max((curve.steps[-1] for curve in self.curves.values() if curve.steps), default=0)


def read_run(folder: str | Path) -> RunData:
    """Read a run's folder; lines that were cut off by a kill are left out.

    Raises:
        UserError: no log there.
    """
    where = Path(folder)
    if not (where / LOG).is_file():
        raise UserError(f"{where}: no {LOG}; expected the folder of a run with loggers.file=true")
    curves: dict[str, Curve] = {}
    began: list[int] = []
    times: list[float] = []
    total = None
    for line in _lines(where / LOG):
        step = int(line.pop("step"))
        times = [times[0] if times else line["time"], line.pop("time")]
        if BEGAN in line:
            began.append(int(line.pop(BEGAN)))
            for curve in curves.values():
                curve.cut_behind(step)
        total = line.pop(TOTAL, total)
        for name, value in line.items():
            if isinstance(value, (int, float)) and math.isfinite(value):
                curves.setdefault(name, Curve()).add(step, value)
    bad = list(_lines(where / BAD_STEPS)) if (where / BAD_STEPS).is_file() else []
    return RunData(
        where,
        where.resolve().name,
        _text(where / CONFIG),
        curves,
        tuple(began[1:]),
        int(total) if isinstance(total, (int, float)) else None,
        times[-1] - times[0] if times else 0.0,
        json.loads(_text(where / RESULTS) or "null"),
        bad[:LISTED],
        len(bad),
    )


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8", errors="replace") as file:
        for text in file:
            try:
                line = json.loads(text)
            except ValueError:
                continue
            if isinstance(line, dict) and isinstance(line.get("step"), int):
                yield line


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else ""
