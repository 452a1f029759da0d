"""AdamW, torch's or Composer's, with CLIP's parameter groups; warm-up and cosine, counted in steps."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from composer.core import Time
from composer.optim import DecoupledAdamW
from torch import nn

from engine.errors import UserError
from loaders.recipe.times import RunLength
from train.model.sharded import stays_whole


@dataclass(frozen=True)
class OptimizerConfig:
    """AdamW whose weight decay is multiplied by the learning rate, as in open_clip.

    Attributes:
        name: `adamw` is torch's; `decoupled_adamw` is Composer's, given the weight decay that means the same.
        lr: peak learning rate.
        betas: of the running means.
        eps: 1e-6 is CLIP's for vision transformers.
        weight_decay: for matrices only; none for norms, biases and the logit scale.
    """

    name: Literal["adamw", "decoupled_adamw"] = "adamw"
    lr: float = 5e-4
    betas: tuple[float, float] = (0.9, 0.98)
    eps: float = 1e-6
    weight_decay: float = 0.2

    def __post_init__(self) -> None:
        """Refuse what torch would refuse with a traceback, or train on.

        Raises:
            UserError: naming the setting.
        """
        for name in ("lr", "eps", "weight_decay"):
            if not 0 <= getattr(self, name) < math.inf:
                raise UserError(f"optimizer.{name}: {getattr(self, name)} given; expected at least 0")
        if not all(0 <= beta < 1 for beta in self.betas):
            raise UserError(f"optimizer.betas: {self.betas} given; expected two numbers from 0 to below 1")


@dataclass(frozen=True)
class ScheduleConfig:
    """Linear warm-up from 0 and a cosine down to `final_fraction` of the peak at `max_duration`.

    Attributes:
        warmup: a Composer time: "500ba" (steps), "1ep", "4096000sp" (samples) or "0.02dur" (share of run).
        final_fraction: of the peak learning rate.
    """

    warmup: str = "0ba"
    final_fraction: float = 0.0


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Splits parameters as open_clip does: no decay for norms, biases, gains and the logit scale (less than
    2-D).

    Locked ones are left out. A fused step takes sharded parameters (FSDP) or whole ones, so each kind is a
    group of its own; without FSDP as well, so that a resumed run finds the groups that were saved.
    """
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            exempt = parameter.ndim < 2 or name.endswith(("bias", "logit_scale"))
            groups.setdefault((not exempt, stays_whole(name)), []).append(parameter)
    return [
        {"params": groups[key], "weight_decay": weight_decay if key[0] else 0.0} for key in sorted(groups)
    ]


def build_optimizer(model: nn.Module, config: OptimizerConfig) -> torch.optim.Optimizer:
    """An AdamW over `parameter_groups`; torch's as one fused kernel, Composer's has none and loops.

    torch multiplies weights by 1 - weight_decay * lr, Composer's DecoupledAdamW by 1 - weight_decay * lr /
    peak: its weight decay is ours times the peak learning rate, and both then take the same steps.
    """
    options: dict[str, Any] = {"lr": config.lr, "betas": config.betas, "eps": config.eps}
    if config.name == "adamw":
        return torch.optim.AdamW(parameter_groups(model, config.weight_decay), fused=True, **options)
    groups = parameter_groups(model, config.weight_decay * config.lr)
    return DecoupledAdamW(groups, **options)


def check_time(text: str, path: str) -> Time[Any]:
    """Reads a Composer time string.

    Raises:
        UserError: names the setting and shows the forms.
    """
    try:
        return Time.from_timestring(text)
    except ValueError as error:
        raise UserError(f"{path}: {text!r} is not a time; write 500ba, 4096000sp, 2ep or 0.1dur") from error


@dataclass(frozen=True)
class Plan:
    """How long a run is. All in optimizer steps except `global_batch`, in samples."""

    global_batch: int
    steps_per_epoch: int
    total: int

    def steps(self, time: Time[Any]) -> int:
        """A duration in steps."""
        return steps_of(time, self.global_batch, self.steps_per_epoch, self.total)


def make_plan(max_duration: str, global_batch: int, steps_per_epoch: int) -> Plan:
    """Resolves `max_duration` into steps.

    Raises:
        UserError: not a time, or no step at all.
    """
    total = steps_of(check_time(max_duration, "max_duration"), global_batch, steps_per_epoch, 0)
    if total < 1:
        raise UserError(f"max_duration: {max_duration} is no step at all; expected at least 1ba")
    return Plan(global_batch, steps_per_epoch, total)


def steps_of(time: Time[Any], global_batch: int, steps_per_epoch: int, total: int) -> int:
    """A duration in steps, rounded up.

    Raises:
        UserError: for units that no step count follows from.
    """
    run = RunLength(global_batch, steps_per_epoch, f"{total}ba")
    return run.steps(f"{time.value}{time.unit.value}", "time")


def warmup_cosine(step: int, warmup: int, total: int, final: float) -> float:
    """Multiplier for step 0, 1, ...: (step + 1) / warmup while step < warmup, then a cosine from 1 to
    `final`."""
    if step < warmup:
        return (step + 1) / warmup
    progress = min(1.0, (step - warmup) / max(1, total - warmup))
    return final + (1 - final) * 0.5 * (1 + math.cos(math.pi * progress))


class Schedule(torch.optim.lr_scheduler.LambdaLR):
    """LambdaLR whose checkpoint is the step alone: after a resume the recipe's settings hold.

    Composer restores the optimizer before it, with the learning rates, betas and weight decays of the
    checkpoint; a run that goes on with another `optimizer.lr`, or with other groups (FSDP), means its own.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, multiplier: Callable[[int], float]) -> None:
        """Multiply each group's learning rate of now by `multiplier(step)`."""
        super().__init__(optimizer, multiplier)
        self._settings = [{k: v for k, v in g.items() if k != "params"} for g in optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """The step."""
        return {"last_epoch": self.last_epoch}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go to a step, with the settings that this was made with."""
        self.last_epoch = int(state_dict["last_epoch"])
        self._last_lr = [
            base * multiplier(self.last_epoch)
            for base, multiplier in zip(self.base_lrs, self.lr_lambdas, strict=True)
        ]
        groups = zip(self.optimizer.param_groups, self._settings, self._last_lr, strict=True)
        for group, settings, lr in groups:
            group.update(settings, lr=lr)


def build_schedule(optimizer: torch.optim.Optimizer, config: ScheduleConfig, plan: Plan) -> Schedule:
    """A torch scheduler, to be stepped after each optimizer step.

    Not a Composer scheduler: Composer evaluates those before it advances its clock, so that the first
    multiplier
    holds for two steps, and its warm-up refuses a duration in another unit than `max_duration`.
    """
    warmup = plan.steps(check_time(config.warmup, "schedule.warmup"))
    if warmup > plan.total:
        raise UserError(
            f"schedule.warmup: {config.warmup} is {warmup} steps, more than the whole run ({plan.total})"
        )
    return Schedule(optimizer, lambda step: warmup_cosine(step, warmup, plan.total, config.final_fraction))
