"""Two trainers' runs as a few numbers: ratios of speed, and the difference of curves against their noise."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median, stdev

from benchmarks.training.rounds import Run
from benchmarks.training.task import OURS, THEIRS

PARTS = 10  # of a curve: its beginning and its end can differ by themselves
NOISE = 2.0  # standard errors that count as noise


@dataclass(frozen=True)
class Gap:
    """Ours less open_clip's, mean over seeds, with the standard error that the seeds' spread gives it.

    Attributes:
        error: None with a single seed of each.
    """

    difference: float
    error: float | None

    @property
    def within_noise(self) -> bool | None:
        """Whether it is at most NOISE standard errors; None where these are not known."""
        return None if self.error is None else abs(self.difference) <= NOISE * self.error


@dataclass(frozen=True)
class Comparison:
    """What the rounds of one model and context say.

    Attributes:
        steps_per_s: by trainer, median of the rounds.
        ratios: steps a second, ours over open_clip's, one a round.
        cpu_ratios: processor seconds a step, open_clip's over ours, one a round; what other programs on the
            machine disturb least.
        data_wait: by trainer, mean of the rounds.
        curve: gap of the loss in each of PARTS equal parts of the run.
        second_half: gap of the loss over the second half.
        recalls: gap of each recall, in points.
    """

    steps_per_s: Mapping[str, float]
    ratios: Sequence[float]
    cpu_ratios: Sequence[float]
    data_wait: Mapping[str, float]
    curve: Sequence[Gap]
    second_half: Gap
    recalls: Mapping[str, Gap]


def compare(runs: Sequence[Run]) -> Comparison:
    """Compares the runs of one model and context; each seed has one of either trainer."""
    sides = {
        name: sorted((r for r in runs if r.trainer == name), key=lambda r: r.seed) for name in (OURS, THEIRS)
    }
    ours, theirs = sides[OURS], sides[THEIRS]
    steps = sorted(set.intersection(*(set(run.log.losses) for run in runs)))
    parts = [steps[k * len(steps) // PARTS : (k + 1) * len(steps) // PARTS] for k in range(PARTS)]
    return Comparison(
        {name: median(_rate(run) for run in side) for name, side in sides.items()},
        [_rate(a) / _rate(b) for a, b in zip(ours, theirs, strict=True)],
        [_cpu(b) / _cpu(a) for a, b in zip(ours, theirs, strict=True)],
        {name: fmean(run.log.data_wait for run in side) for name, side in sides.items()},
        [_loss_gap(ours, theirs, part) for part in parts if part],
        _loss_gap(ours, theirs, steps[len(steps) // 2 :]),
        {name: gap(_recalls(ours, name), _recalls(theirs, name)) for name in ours[0].recalls or {}},
    )


def gap(ours: Sequence[float], theirs: Sequence[float]) -> Gap:
    """Difference of means; its standard error by Welch, sqrt(s1^2 / n1 + s2^2 / n2)."""
    difference = fmean(ours) - fmean(theirs)
    if min(len(ours), len(theirs)) < 2:
        return Gap(difference, None)
    return Gap(difference, math.sqrt(stdev(ours) ** 2 / len(ours) + stdev(theirs) ** 2 / len(theirs)))


def part_losses(runs: Sequence[Run], steps: Sequence[int]) -> list[float]:
    """Mean loss over these steps, of each run."""
    return [fmean(run.log.losses[step] for step in steps) for run in runs]


def _recalls(runs: Sequence[Run], name: str) -> list[float]:
    return [100 * run.recalls[name] for run in runs if run.recalls is not None]


def _loss_gap(ours: Sequence[Run], theirs: Sequence[Run], steps: Sequence[int]) -> Gap:
    return gap(part_losses(ours, steps), part_losses(theirs, steps))


def _rate(run: Run) -> float:
    return run.pace.steps / run.pace.seconds


def _cpu(run: Run) -> float:
    return run.pace.cpu_s / run.pace.steps
