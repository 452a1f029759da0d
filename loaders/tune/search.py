"""The minute: rounds in which the candidates take turns, fewer of them each time."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch

from engine.errors import UserError
from loaders.loader import DataConfig
from loaders.tune.bench import LEAST_BATCH, Bench, Limit, fitting_batch
from loaders.tune.candidates import NATIVE, Candidate
from loaders.tune.choice import Measured, Turn, survivors

# A turn should have several batches.
LEAST_BATCHES = 4

Tell = Callable[[str], None]


@dataclass
class Found:
    """What is known so far.

    Attributes:
        recipe: what is measured.
        alive: candidates that are still measured.
        batch_size: what they are measured with; smaller than the recipe's where a batch takes too long.
        turns: of each candidate that was measured.
        left_out: why a decoder is not measured (any more), by its name.
        seconds: that measuring has taken.
    """

    recipe: DataConfig
    alive: list[Candidate]
    batch_size: int = 0
    turns: dict[Candidate, list[Turn]] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0

    def measured(self) -> list[Measured]:
        """Return every candidate that had a turn."""
        return [Measured(candidate, tuple(turns)) for candidate, turns in self.turns.items()]

    def finalists(self) -> list[Measured]:
        """Return those that were measured to the end."""
        return [one for one in self.measured() if one.candidate in self.alive]

    def leave_out(self, decoder: str, why: str) -> None:
        """Measure no more of a decoder, nor count what was."""
        self.left_out[decoder] = why
        self.alive = [one for one in self.alive if one.decoder != decoder]
        self.turns = {one: turns for one, turns in self.turns.items() if one.decoder != decoder}


class Search:
    """Measures candidates in interleaved rounds, for a number of seconds."""

    def __init__(self, found: Found, device: torch.device, budget_s: float, tell: Tell) -> None:
        """Start nothing yet; `found` is filled while it runs, so that it is there when it is stopped."""
        self._found, self._device, self._budget_s, self._tell = found, device, budget_s, tell
        # Rounds with half of the candidates each time have nearly two turns a candidate; the rest is for
        # starting loaders, and for more turns of the last few.
        self._turn_s = budget_s / (3 * len(found.alive))
        self._limit = Limit(self._turn_s)
        self._costs: dict[Candidate, float] = {}
        self._benches: dict[int, Bench] = {}

    def run(self, least_samples: int) -> None:
        """Measure.

        Args:
            least_samples: fewer, and there is nothing to train on.

        Raises:
            UserError: from the recipe or the data.
        """
        self._began = time.monotonic()
        self._tell(f"opening {self._where()}")
        self._found.batch_size = self._fitting_batch(least_samples)
        backwards = False
        while self._round(backwards):
            self._found.alive = [one.candidate for one in survivors(self._found.finalists())]
            backwards = not backwards  # what changes steadily meanwhile is in favour of nobody

    def _fitting_batch(self, least_samples: int) -> int:
        """Return the recipe's batch, or a smaller one that does not take too long."""
        recipe, base = self._found.recipe, self._found.alive[0]
        small = Bench(replace(recipe, batch_size=min(LEAST_BATCH, recipe.batch_size)), self._device)
        if small.samples < least_samples and recipe.drop_last:
            raise UserError(
                f"{self._where()}: {small.samples} samples are no global batch of {least_samples}; "
                "give a smaller global_train_batch_size"
            )
        for _ in range(2):  # the first one also opens shards
            turn, _ = small.turn(base, Limit(self._turn_s, 2))
        return fitting_batch(recipe.batch_size, turn.samples / turn.seconds, self._turn_s / LEAST_BATCHES)

    def _bench(self, candidate: Candidate) -> Bench:
        """Return where a candidate is measured: data that this process reads is no longer for its workers."""
        bench = self._benches.get(candidate.workers)
        if bench is not None:
            return bench
        self._tell(f"warm-up: {candidate}")
        bench = Bench(replace(self._found.recipe, batch_size=self._found.batch_size), self._device)
        # Shards are opened and images get into memory; how far the first one comes is how far everyone goes.
        _, batches = bench.turn(candidate, self._limit)
        if not self._benches:
            self._limit = replace(self._limit, batches=max(LEAST_BATCHES, batches))
        self._benches[candidate.workers] = bench
        return bench

    def _round(self, backwards: bool) -> bool:
        """Give each candidate a turn; return whether the time sufficed."""
        alive = self._found.alive
        for candidate in alive[::-1] if backwards else alive:
            if candidate.decoder in self._found.left_out:
                continue
            cost = self._costs.get(candidate, self._turn_s)
            if self._found.turns and self._spent() + cost > self._budget_s:
                return False
            began = self._spent()
            self._take(candidate)
            self._found.seconds = self._spent()
            self._costs[candidate] = self._found.seconds - began
        return True

    def _take(self, candidate: Candidate) -> None:
        self._tell(f"{self._spent():3.0f} of {self._budget_s:g} s   {candidate}")
        try:
            turn, _ = self._bench(candidate).turn(candidate, self._limit)
        except (UserError, RuntimeError) as error:
            if candidate.decoder == NATIVE:
                raise
            self._found.leave_out(candidate.decoder, str(error))
            return
        self._found.turns.setdefault(candidate, []).append(turn)

    def _spent(self) -> float:
        return time.monotonic() - self._began

    def _where(self) -> str:
        return ", ".join(place.local for place in self._found.recipe.places())
