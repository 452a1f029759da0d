"""What a measurement says: which settings stay in it, and which are recommended."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from loaders.tune.candidates import NATIVE, Candidate

# Rates and processor times that differ by less are the same: so do turns of one and the same setting on a
# quiet machine. On a noisy one it is what the fastest one's own turns say, up to a limit.
LEAST_NOISE, MOST_NOISE = 0.03, 0.1
# The last ones are measured until the time is over: the more turns, the surer the order.
FINALISTS = 3


@dataclass(frozen=True)
class Turn:
    """A stretch of batches.

    Attributes:
        samples: whose images were on the device.
        seconds: by the clock.
        cpu_s: processor time of all threads and workers.
        left_to_native: share of the samples that DALI was not given or could not decode, 0 to 1.
    """

    samples: int
    seconds: float
    cpu_s: float
    left_to_native: float = 0.0


@dataclass(frozen=True)
class Measured:
    """A candidate and its turns, at least one."""

    candidate: Candidate
    turns: tuple[Turn, ...]

    @property
    def rate(self) -> float:
        """Samples per second: the median turn."""
        return statistics.median(self._rates())

    @property
    def spread(self) -> float | None:
        """Half the distance of the slowest and the fastest turn, as a share of the rate; None of one turn."""
        rates = self._rates()
        return (max(rates) - min(rates)) / 2 / self.rate if len(rates) > 1 else None

    @property
    def noise(self) -> float:
        """The share by which another rate may differ and yet be the same."""
        own = 0.0 if self.spread is None else self.spread / math.sqrt(len(self.turns))
        return min(MOST_NOISE, max(LEAST_NOISE, own))

    @property
    def cpu_per_1000(self) -> float:
        """Processor seconds per 1,000 samples: the median turn."""
        return statistics.median(1000 * turn.cpu_s / turn.samples for turn in self.turns)

    @property
    def left_to_native(self) -> float:
        """Share of all samples that the native core decoded for DALI."""
        samples = sum(turn.samples for turn in self.turns)
        return sum(turn.left_to_native * turn.samples for turn in self.turns) / samples

    def _rates(self) -> list[float]:
        return [turn.samples / turn.seconds for turn in self.turns]


def survivors(measured: Sequence[Measured]) -> list[Measured]:
    """Return those worth another round: the faster half, and whatever may be as fast as the fastest."""
    ranked = sorted(measured, key=lambda one: -one.rate)
    kept = max(FINALISTS, -(-len(ranked) // 2))
    same = _as_fast(measured)
    return [one for place, one in enumerate(ranked) if place < kept or one in same]


def choose(measured: Sequence[Measured]) -> Measured:
    """Return the recommended one of those that were measured alike.

    Of those as fast as the fastest, the ones of the least processor time; of these a native one, whose pixels
    are exact, if there is one; then the one with the fewest threads, then with the smallest prefetch.
    """
    fast = _as_fast(measured)
    least = min(one.cpu_per_1000 for one in fast)
    cheap = [one for one in fast if least >= (1 - noise(measured)) * one.cpu_per_1000]
    return min(cheap, key=lambda one: (*_preference(one.candidate), one.cpu_per_1000))


def _preference(one: Candidate) -> tuple[bool, int, int]:
    return one.decoder != NATIVE, one.all_threads, one.prefetch


def noise(measured: Sequence[Measured]) -> float:
    """Return the share within which rates are the same: that of the fastest one."""
    return max(measured, key=lambda one: one.rate).noise


def _as_fast(measured: Sequence[Measured]) -> list[Measured]:
    least = (1 - noise(measured)) * max(one.rate for one in measured)
    return [one for one in measured if one.rate >= least]
