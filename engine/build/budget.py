"""The failure budget: how many samples may fail before a build stops."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from engine.errors import UserError

# Below this many samples a share says little: one bad sample of the first ten is 10 %.
PROBATION_SAMPLES = 1000


@dataclass(frozen=True)
class Budget:
    """A number of samples (`limit` is an int), or a share once there are `PROBATION_SAMPLES`."""

    limit: int | float = 0.05

    def exceeded(self, seen: int, failures: int) -> bool:
        """Whether a build with these counts must stop."""
        if isinstance(self.limit, int):
            return failures > self.limit
        return seen >= PROBATION_SAMPLES and failures > self.limit * seen

    def __str__(self) -> str:
        """As messages have it."""
        if isinstance(self.limit, int):
            return f"{self.limit:,} samples"
        return f"{100 * self.limit:g} % of the samples"


def parse_budget(text: str) -> Budget:
    """`200` is a number of samples, `0.05` or `5%` a share.

    Raises:
        UserError: neither, or no finite budget.
    """
    try:
        if text.isascii() and text.isdigit():
            return Budget(int(text))
        share = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise UserError(f"--max-failures {text}: expected a number of samples (200) or a share (0.05 or 5%)")
    return Budget(share)


class BudgetWatch:
    """Judges the batches in unit order, so that builds stop alike with any number of workers."""

    def __init__(self, budget: Budget, units: int) -> None:
        """Watches units 0 to `units` - 1."""
        self._budget = budget
        self._pending: list[list[tuple[int, int]]] = [[] for _ in range(units)]
        self._finished = [False] * units
        self._at = 0
        self._before = (0, 0)  # seen and failures of the units before `_at`
        self._latest = (0, 0)  # of the unit `_at`

    def report(self, unit: int, steps: Iterable[tuple[int, int]], finished: bool = False) -> bool:
        """Takes `(seen, failures)` of a unit after further batches; whether the budget is exceeded."""
        self._pending[unit].extend(steps)
        self._finished[unit] |= finished
        return self._advance()

    def _advance(self) -> bool:
        while self._at < len(self._pending):
            for seen, failures in self._pending[self._at]:
                self._latest = (seen, failures)
                if self._budget.exceeded(self._before[0] + seen, self._before[1] + failures):
                    return True
            self._pending[self._at].clear()
            if not self._finished[self._at]:
                return False
            self._before = (self._before[0] + self._latest[0], self._before[1] + self._latest[1])
            self._latest = (0, 0)
            self._at += 1
        return False
