"""Two trainers' runs as a few numbers: ratios of speed, and the difference of curves against their noise."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median, stdev

from benchmarks.training.rounds import Run
from benchmarks.training.task import OURS, THEIRS

PARTS = 10  # of a curve: its beginning and its end can differ by themselves
# Two-sided 5 % limits of Student's t, for 1 to 10 degrees of freedom; few seeds know their own spread badly.
STUDENT = (12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23)


@dataclass(frozen=True)
class Gap:
    """Ours less open_clip's, mean over seeds, with the standard error that the seeds' spread gives it.

    Attributes:
        error: None with a single seed of either.
        limit: what the difference stays within in 95 of 100 comparisons of equals (Welch's test).
    """

    difference: float
    error: float | None
    limit: float | None

    @property
    def within_noise(self) -> bool | None:
        """Whether the difference may be chance; None where its error is not known."""
        return None if self.limit is None else abs(self.difference) <= self.limit


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
    """Difference of means, its error sqrt(s1^2 / n1 + s2^2 / n2), and Welch's limit with as many degrees of
    freedom as Welch and Satterthwaite give, rounded down."""
    difference = fmean(ours) - fmean(theirs)
    if min(len(ours), len(theirs)) < 2:
        return Gap(difference, None, None)
    parts = [(stdev(values) ** 2 / len(values), len(values) - 1) for values in (ours, theirs)]
    variance = sum(part for part, _ in parts)
    spread = sum(part**2 / freedom for part, freedom in parts)
    freedom = int(variance**2 / spread) if spread else 1
    error = math.sqrt(variance)
    return Gap(difference, error, STUDENT[min(max(1, freedom), len(STUDENT)) - 1] * error)


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
