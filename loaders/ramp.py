"""Weights that stay as they are, or move over the run: of a policy's sources, or of a mix's streams."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import UserError
from engine.nearest import nearest
from loaders.recipe.strict import SettingError
from loaders.recipe.times import RunLength, parse_time


@dataclass(frozen=True)
class Ramp:
    """Where weights go, and when.

    Between `begin` and `end` each share (a weight over the sum of all) moves linearly in steps; before and
    after it is constant. A name that one side does not have weighs 0 there. Times are Composer's (500ba,
    4096000sp, 2ep, 0.1dur); where both are the same step, the weights change at it.

    Attributes:
        to: weight by name at `end`.
        begin: last step with the weights that it starts from.
        end: first step with `to`.
    """

    to: Mapping[str, float]
    begin: str = "0dur"
    end: str = "1dur"

    def __post_init__(self) -> None:
        """Refuse what no run could follow.

        Raises:
            SettingError: naming the field.
        """
        check_weights("to", self.to)
        for name, text in (("begin", self.begin), ("end", self.end)):
            parse_time(text, name)


@dataclass(frozen=True)
class Weights:
    """Weights [N] of some names at every step of a run; from `begin` to `end` on the way to `stop`."""

    start: tuple[float, ...]
    stop: tuple[float, ...]
    begin: int = 0
    end: int = 0

    @classmethod
    def constant(cls, weights: Sequence[float]) -> Weights:
        """Return weights that do not move."""
        return cls(tuple(weights), tuple(weights))

    def at(self, step: int) -> tuple[float, ...]:
        """Return the weights [N] at a step: as they were given, where they do not move."""
        if step >= self.end:
            return self.stop
        return self.start if step <= self.begin else tuple(self.shares(np.array([step]))[0].tolist())

    def shares(self, steps: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return float64 [M, N]: the shares at steps [M]; each row sums to 1, but for rounding."""
        start, stop = (np.array(weights) / sum(weights) for weights in (self.start, self.stop))
        length = self.end - self.begin
        done = np.clip((steps - self.begin) / length, 0, 1) if length else (steps >= self.begin) * 1.0
        shares: NDArray[np.float64] = (1 - done[:, None]) * start + done[:, None] * stop
        return shares


@dataclass(frozen=True)
class Names:
    """What weights belong to: `kind` (source, stream), `owner` (this dataset, this recipe) for messages."""

    kind: str
    owner: str
    known: tuple[str, ...]

    def check(self, setting: str, name: str, rules: Sequence[str] = ()) -> None:
        """Refuse a name that is not known; `rules` are words that would do as well.

        Raises:
            UserError: naming the setting and what there is.
        """
        if name not in self.known:
            also = f", or one of the rules {', '.join(rules)}" if rules else ""
            raise UserError(
                f"{setting}: unknown {self.kind}; {self.owner} has {', '.join(self.known)}{also}"
                + nearest(name, [*self.known, *rules])
            )

    def weights(self, setting: str, given: Mapping[str, float]) -> tuple[float, ...]:
        """Return weights in the order of the names, 0 where none is given.

        Raises:
            UserError: for a name that is not known.
        """
        for name in given:
            self.check(f"{setting}.{name}", name)
        return tuple(float(given.get(name, 0.0)) for name in self.known)


def bind_ramp(
    start: tuple[float, ...], ramp: Ramp | None, names: Names, run: RunLength | None, setting: str
) -> Weights:
    """Resolve a ramp's names and times.

    Args:
        start: weights [N] that it starts from.
        ramp: None for weights that do not move.
        names: N names, in order.
        run: how long it is; None is enough without a ramp.
        setting: where the ramp stands in the recipe.

    Raises:
        UserError: for an unknown name, a time that means nothing in this run, or an end before the beginning.
    """
    if ramp is None:
        return Weights.constant(start)
    stop = names.weights(f"{setting}.to", ramp.to)
    if run is None:
        raise UserError(f"{setting}: a ramp needs the length of a run; leave it out here")
    begin, end = (
        run.steps(text, f"{setting}.{name}") for name, text in (("begin", ramp.begin), ("end", ramp.end))
    )
    if end < begin:
        raise UserError(
            f"{setting}: ends at {ramp.end} (step {end}), before it begins at {ramp.begin} (step {begin})"
        )
    return Weights(start, stop, begin, end)


def check_weights(setting: str, weights: Mapping[str, Any]) -> None:
    """Refuse weights that no share follows from.

    Raises:
        SettingError: naming the weight.
    """
    for name, weight in weights.items():
        number = isinstance(weight, (int, float)) and not isinstance(weight, bool)
        if not number or not math.isfinite(weight) or weight < 0:
            raise SettingError(
                f"{setting}.{name}", f"{weight!r} given; expected a finite number of at least 0"
            )
    if not any(weights.values()):
        raise SettingError(setting, "every weight is 0; give one a positive weight")
