"""What a run says on stderr: what it is about to do, and a line each so many steps."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from composer.core import State
from composer.loggers import Logger, LoggerDestination
from composer.utils import dist

from train.config import TrainConfig
from train.model.optim import Plan
from train.model.precision import resolve_precision
from train.watch.clock import Clock
from train.watch.work import Work

# Metric, how it is shown; one that was not logged since the last line is left out.
SHOWN = (
    ("loss/train/total", "loss {:.4f}"),
    ("l2_norm/grad", "grad {:.2f}"),
    ("optimizer/lr", "lr {:.2e}"),
    ("model/logit_scale", "scale {:.1f}"),
    ("throughput/samples_per_sec", "{:,.0f} samples/s"),
    ("throughput/data_wait_fraction", "wait {:.1%}"),
    ("throughput/mfu", "MFU {:.1%}"),
)
DROPPED = "steps/dropped"


@dataclass(frozen=True)
class Looks:
    """When held-out data is looked at. Attributes: every: steps between, or None; at_end: once more there."""

    every: int | None = None
    at_end: bool = False

    def left(self, step: int, total: int) -> int:
        """How many looks come after `step` of `total`."""
        between = 0 if self.every is None else (total - 1) // self.every - min(step, total - 1) // self.every
        return between + self.at_end


class ConsoleLog(LoggerDestination):
    """One line each `interval` steps on rank 0: metrics of the steps since the last one, and the time left.

    Time left: steps by the mean of this process's (its first interval, which warms up, left out), and looks
    at held-out data by theirs.
    """

    def __init__(self, interval: int, plan: Plan, clock: Clock, looks: Looks) -> None:
        """Prints each `interval` steps and at the last."""
        self.interval, self.plan, self.clock, self.looks = interval, plan, clock, looks
        self.fresh: dict[str, Any] = {}
        self._lines = 0

    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Remembers the newest value of each."""
        self.fresh.update(metrics)

    def fit_start(self, state: State, logger: Logger) -> None:
        """Remembers where this process began (it may have resumed)."""
        self._begin(int(state.timestamp.batch))

    def _begin(self, step: int) -> None:
        self.first_step, self.began = step, self.clock.now()

    def batch_end(self, state: State, logger: Logger) -> None:
        """Prints to stderr, so that stdout holds results only; loggers come after the callbacks that log."""
        step = int(state.timestamp.batch)
        if step % self.interval and step != self.plan.total:
            return
        self._lines += 1
        if dist.get_global_rank() == 0:
            print(self.line(step, int(state.timestamp.epoch)), file=sys.stderr, flush=True)
        if self._lines == 1:
            self._begin(step)
        self.fresh.clear()

    def line(self, step: int, epoch: int) -> str:
        """The line after `step` steps."""
        shown = [form.format(self.fresh[name]) for name, form in SHOWN if name in self.fresh]
        if self.fresh.get(DROPPED):
            shown.append(f"dropped {int(self.fresh[DROPPED])}")
        head = [f"step {step}/{self.plan.total}", f"epoch {epoch}"]
        return "  ".join([*head, *shown, f"left {clock_time(self.left_s(step))}"])

    def left_s(self, step: int) -> float:
        """Seconds to the end of the run, its last evaluation included once the cost of one is known."""
        one_step = (self.clock.now() - self.began) / max(1, step - self.first_step)
        one_look = self.clock.paused_s / max(1, self.clock.pauses)
        total = self.plan.total
        return (total - step) * one_step + self.looks.left(step, total) * one_look


def run_line(config: TrainConfig, plan: Plan) -> str:
    """Ranks, batch, precision, device."""
    ranks = dist.get_world_size()
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    batch = f"{ranks} x {plan.global_batch // ranks:,} = {plan.global_batch:,} samples a step"
    return f"{config.run_name}: {batch}, {resolve_precision(config.precision)} on {device}"


def model_line(work: Work) -> str:
    """Parameters, and the operations of a pair."""
    clip = work.model.clip
    whole, image = (sum(p.numel() for p in m.parameters()) / 1e6 for m in (clip, clip.visual))
    context = clip.positional_embedding.shape[0]
    cost = f"{work.flops.of(1, context) / 1e9:,.3g} GFLOPs to train a pair of {context} tokens"
    return f"model: {whole:,.1f} M parameters ({image:,.1f} M the image tower's), {cost}"


def data_line(plan: Plan, samples: int, step: int) -> str:
    """Samples, steps and epochs, and where a resumed run begins."""
    epochs = f"{plan.total / plan.steps_per_epoch:,.1f} epochs of {plan.steps_per_epoch:,}"
    begins = f", from step {step:,}" if step else ""
    return f"data: {samples:,} samples; {plan.total:,} steps ({epochs}){begins}"


def clock_time(seconds: float) -> str:
    """H:MM:SS."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"
