"""Watches each step before the optimizer takes it: its gradient, numbers that are none, a wish to stop."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from composer.core import Algorithm, Event, Precision, State
from composer.loggers import Logger
from composer.utils import dist
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from engine.errors import UserError
from train.stopping import StopNotice, any_rank

BAD_STEPS = "bad_steps.jsonl"
# Keys on the console; the file has all.
SHOWN = 3


class StepGuard(Algorithm):
    """Clips the gradient, and drops a step whose loss or gradient is not finite.

    The gradient is that of the whole batch and the same on all ranks, and so is what is decided. A dropped
    step leaves weights, moments and step counts as they are; the schedule goes on.
    """

    def __init__(
        self, max_norm: float | None, most_bad_steps: int, notice: StopNotice, folder: Path | None
    ) -> None:
        """Take the limits.

        Args:
            max_norm: L2 norm that the gradient is clipped to; None clips nothing.
            most_bad_steps: so many dropped steps in a row end the run.
            notice: told whether any rank was asked to stop.
            folder: where the keys of dropped steps are written, or None.
        """
        super().__init__()  # type: ignore[no-untyped-call]
        self.max_norm, self.most_bad_steps = max_norm, most_bad_steps
        self.notice, self.folder = notice, folder
        self.bad_in_a_row = self.dropped = 0

    def match(self, event: Event, state: State) -> bool:
        """After the backward pass and before the optimizer, despite the event's name."""
        return event == Event.AFTER_TRAIN_BATCH

    def apply(self, event: Event, state: State, logger: Logger) -> None:
        """Clip, look, and drop the step if need be.

        Raises:
            UserError: after too many bad steps in a row, on all ranks.
        """
        parameters = [p for p in state.model.parameters() if p.grad is not None]
        norm = clip_gradients(parameters, self.max_norm)
        loss = _loss_of(state)
        # With fp16 a gradient overflows now and then; the scaler drops the step and lowers its factor.
        scaled = state.precision == Precision.AMP_FP16
        own = not math.isfinite(loss) or not (scaled or math.isfinite(norm))
        bad, self.notice.agreed = any_rank(state.device, own, self.notice.asked)
        self.dropped += bad
        logger.log_metrics({"l2_norm/grad": norm, "steps/dropped": self.dropped})
        if not bad:
            self.bad_in_a_row = 0
            return
        for parameter in parameters:
            parameter.grad = None
        self.bad_in_a_row += 1
        self._tell(state, loss, norm, own)
        if self.bad_in_a_row >= self.most_bad_steps:
            raise UserError(
                f"step {int(state.timestamp.batch) + 1}: loss or gradient not finite in {self.bad_in_a_row} "
                f"steps in a row (max_bad_steps); the batches are named in {BAD_STEPS} of the run's folder; "
                "lower optimizer.lr, look at the data (python -m loaders.replay), and go on from a checkpoint"
            )

    def _tell(self, state: State, loss: float, norm: float, own: bool) -> None:
        keys = list(state.batch["key"])
        step, rank = int(state.timestamp.batch) + 1, dist.get_global_rank()
        if own:
            more = f" and {len(keys) - SHOWN} more" if len(keys) > SHOWN else ""
            print(
                f"step {step}: dropped: loss {loss:g}, gradient norm {norm:g} on rank {rank}; "
                f"samples {', '.join(map(repr, keys[:SHOWN]))}{more}",
                file=sys.stderr,
                flush=True,
            )
        if own and self.folder is not None:
            self.folder.mkdir(parents=True, exist_ok=True)  # another node's
            line = {"step": step, "rank": rank, "loss": str(loss), "gradient_norm": str(norm), "keys": keys}
            with (self.folder / BAD_STEPS).open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")

    def state_dict(self) -> dict[str, Any]:
        """Keep nothing: a resumed run counts bad steps anew."""
        return {}


def clip_gradients(parameters: Sequence[nn.Parameter], max_norm: float | None) -> float:
    """Scale gradients so that their L2 norm is at most `max_norm` (None: leave them); give the norm before.

    With FSDP some are sharded and some whole, which torch does not mix; the norm is that of all ranks' parts.
    """
    parts = [[p for p in parameters if isinstance(p, DTensor) == sharded] for sharded in (False, True)]
    norms = [get_total_norm([p.grad for p in part if p.grad is not None]) for part in parts if part]
    wholes = [norm.full_tensor() if isinstance(norm, DTensor) else norm for norm in norms]
    total = torch.linalg.vector_norm(torch.stack(wholes)) if len(wholes) > 1 else wholes[0]
    for part in parts:
        if part and max_norm is not None:
            clip_grads_with_norm_(part, max_norm, total)
    return float(total)


def _loss_of(state: State) -> float:
    loss: Any = state.loss
    return float(loss.detach()) if isinstance(loss, Tensor) else float("nan")
