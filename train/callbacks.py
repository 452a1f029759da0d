"""What happens around a training step: the logit scale's clamp and log, and the console log."""

from __future__ import annotations

import math
import sys
import time

import torch
from composer.core import Algorithm, Callback, Event, State
from composer.loggers import Logger
from composer.utils import dist
from open_clip.model import CLIP
from torch.nn.parallel import DistributedDataParallel

from train.model import ContrastiveModel
from train.optim import Plan

# CLIP: "clipped to prevent scaling the logits by more than 100" (Radford et al. 2021, section 2.5).
MAX_LOGIT_SCALE = math.log(100.0)


class ClampLogitScale(Algorithm):
    """Keeps the learnt logit scale in [0, log 100] after each optimizer step.

    SigLIP's, which has a bias beside it, is free as in its paper.
    """

    def match(self, event: Event, state: State) -> bool:
        """After the step and before checkpoints (AFTER_TRAIN_BATCH, despite its name, comes before the
        step)."""
        return event == Event.BATCH_END

    def apply(self, event: Event, state: State, logger: Logger) -> None:
        """Clamps in place."""
        clip = clip_of(state)
        if clip.logit_bias is None:
            with torch.no_grad():
                clip.logit_scale.clamp_(0.0, MAX_LOGIT_SCALE)


class LogLogitScale(Callback):
    """Logs the logit scale, and SigLIP's bias, each `interval` steps."""

    def __init__(self, interval: int) -> None:
        """Logs each `interval` steps."""
        self.interval = interval

    def batch_end(self, state: State, logger: Logger) -> None:
        """Logs what the logits were multiplied by, and what was added to them."""
        if int(state.timestamp.batch) % self.interval == 0:
            clip = clip_of(state)
            logger.log_metrics({"model/logit_scale": float(clip.logit_scale.detach().exp())})
            if clip.logit_bias is not None:
                logger.log_metrics({"model/logit_bias": float(clip.logit_bias.detach())})


class ConsoleLog(Callback):
    """One line each `interval` steps on rank 0: step, epoch, loss, learning rate, samples/s, time left."""

    def __init__(self, interval: int, plan: Plan) -> None:
        """Prints each `interval` steps."""
        self.interval = interval
        self.plan = plan

    def fit_start(self, state: State, logger: Logger) -> None:
        """Remembers where this process began (it may have resumed)."""
        self.first_step, self.began = int(state.timestamp.batch), time.perf_counter()

    def batch_end(self, state: State, logger: Logger) -> None:
        """Prints to stderr, so that stdout holds results only."""
        step = int(state.timestamp.batch)
        total = self.plan.total
        if dist.get_global_rank() != 0 or (step % self.interval and step != total):
            return
        elapsed = time.perf_counter() - self.began
        done = max(1, step - self.first_step)
        rate = done * self.plan.global_batch / elapsed
        loss = float(state.total_loss_dict["loss/train/total"]) if state.total_loss_dict else float("nan")
        scale = float(clip_of(state).logit_scale.detach().exp())
        print(
            f"step {step}/{total}  epoch {int(state.timestamp.epoch)}  loss {loss:.4f}  "
            f"lr {state.schedulers[0].get_last_lr()[0]:.2e}  scale {scale:.1f}  {rate:,.0f} samples/s  "
            f"left {_clock((total - step) * elapsed / done)}",
            file=sys.stderr,
            flush=True,
        )


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"


def clip_of(state: State) -> CLIP:
    """The CLIP inside the model being trained, whether DDP wraps it or not."""
    model = state.model.module if isinstance(state.model, DistributedDataParallel) else state.model
    if not isinstance(model, ContrastiveModel):
        raise TypeError(f"expected a ContrastiveModel, got {type(model).__name__}")
    return model.clip
