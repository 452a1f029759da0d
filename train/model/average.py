"""An exponential average of the weights (EMA): evaluation uses it, checkpoints hold it beside the weights."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from composer.core import Algorithm, Event, State
from composer.loggers import Logger
from torch import Tensor, nn

from train.guard import StepGuard
from train.model.sharded import full, like, local


@dataclass(frozen=True)
class EmaConfig:
    """The average over steps i <= t of weights_i, each counting 2 ** (-(t - i) / half_life).

    Attributes:
        half_life: a Composer time: "1000ba", "2000000sp", "0.5ep" or "0.02dur".
    """

    half_life: str = "1000ba"


class AverageWeights(Algorithm):
    """Averages the trainable weights after each step that was taken.

    The weights' counts sum to 1 from the first step on, as in Adam's bias correction: the random start is in
    no average. Composer's own EMA starts from it, counts dropped steps and puts the average in the place of
    the weights in checkpoints.
    """

    def __init__(self, model: nn.Module, half_life: int, guard: StepGuard) -> None:
        """Average nothing yet.

        Args:
            model: what is trained; its parameters' names are those of checkpoints.
            half_life: in steps.
            guard: knows whether the step was dropped.
        """
        super().__init__()  # type: ignore[no-untyped-call]
        self.model, self.half_life, self.guard = model, half_life, guard
        self.steps = 0
        self.weights: dict[str, Tensor] = {}

    def match(self, event: Event, state: State) -> bool:
        """After the step and before checkpoints."""
        return event == Event.BATCH_END and self.guard.bad_in_a_row == 0

    @torch.no_grad()
    def apply(self, event: Event, state: State, logger: Logger) -> None:
        """Take the step's weights in."""
        trained = self._trained()
        if self.steps == 0:
            self.weights = {name: torch.empty_like(value) for name, value in trained.items()}
        self.steps += 1
        share = _grown(1, self.half_life) / _grown(self.steps, self.half_life)
        averages = [local(self.weights[name]) for name in trained]
        if self.steps == 1:
            torch._foreach_copy_(averages, [local(value) for value in trained.values()])
        else:
            torch._foreach_lerp_(averages, [local(value) for value in trained.values()], share)

    def _trained(self) -> dict[str, Tensor]:
        return {name: p.detach() for name, p in self.model.named_parameters() if p.requires_grad}

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """The model has the averaged weights inside, and its own again afterwards, bit for bit."""
        if self.steps == 0:
            yield
            return
        trained = self._trained()
        kept = [local(value).clone() for value in trained.values()]
        values = [local(value) for value in trained.values()]
        torch._foreach_copy_(values, [local(self.weights[name]) for name in trained])
        try:
            yield
        finally:
            torch._foreach_copy_(values, kept)

    def state_dict(self) -> dict[str, Any]:
        """Steps and weights, whole: all ranks take part."""
        return {"steps": self.steps, "weights": {name: full(value) for name, value in self.weights.items()}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint's average; a parameter that was locked then starts as it is."""
        self.steps = int(state["steps"])
        if self.steps:
            given = state["weights"]
            self.weights = {
                name: like(given[name], value) if name in given else value.clone()
                for name, value in self._trained().items()
            }


def _grown(steps: int, half_life: int) -> float:
    """1 - 2 ** (-steps / half_life)."""
    return -math.expm1(-math.log(2) * steps / half_life)
