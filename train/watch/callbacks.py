"""What happens around a training step: the logit scale's clamp; the log of it and of the learning rate."""

from __future__ import annotations

import math

import torch
from composer.core import Algorithm, Callback, Event, State
from composer.loggers import Logger
from open_clip.model import CLIP
from torch.nn.parallel import DistributedDataParallel

from train.model.contrastive import ContrastiveModel

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


class LogScales(Callback):
    """Logs each `interval` steps: the learning rate of the step, the logit scale, and SigLIP's bias."""

    def __init__(self, interval: int) -> None:
        """Logs each `interval` steps."""
        self.interval = interval

    def after_train_batch(self, state: State, logger: Logger) -> None:
        """Logs the highest rate of all groups: the schedule moves on before the step ends."""
        if (int(state.timestamp.batch) + 1) % self.interval == 0:
            rate = max(float(group["lr"]) for group in state.optimizers[0].param_groups)
            logger.log_metrics({"optimizer/lr": rate})

    def batch_end(self, state: State, logger: Logger) -> None:
        """Logs what the logits are multiplied by, and what is added to them."""
        if int(state.timestamp.batch) % self.interval == 0:
            clip = clip_of(state)
            logger.log_metrics({"model/logit_scale": float(clip.logit_scale.detach().exp())})
            if clip.logit_bias is not None:
                logger.log_metrics({"model/logit_bias": float(clip.logit_bias.detach())})


def clip_of(state: State) -> CLIP:
    """The CLIP inside the model being trained, whether DDP wraps it or not."""
    model = state.model.module if isinstance(state.model, DistributedDataParallel) else state.model
    if not isinstance(model, ContrastiveModel):
        raise TypeError(f"expected a ContrastiveModel, got {type(model).__name__}")
    return model.clip
