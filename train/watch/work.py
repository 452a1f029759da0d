"""The useful work of a rank's steps, for MFU."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from train.model.architecture import Architecture
from train.model.contrastive import ContrastiveModel, needed_tokens
from train.stopping import StopNotice
from train.watch.clock import Clock
from train.watch.flops import StepFlops, count_flops, peak_flops


@dataclass(frozen=True)
class Work:
    """What a step costs and what the device could do.

    Attributes:
        model: as it is trained.
        flops: of its samples.
        peak: operations a second that the device could do; None where that is not known, as for CPUs.
    """

    model: ContrastiveModel
    flops: StepFlops
    peak: float | None

    def of_batch(self, batch: Mapping[str, Any]) -> float:
        """Operations of one step on this rank; the texts of a microbatch run as far as its longest."""
        tokens = needed_tokens(self.model.clip, batch["text"]).cpu()
        parts = torch.split(tokens, self.model.microbatch or len(tokens))
        return sum(self.flops.of(len(part), int(part.max())) for part in parts)


@dataclass(frozen=True)
class Watch:
    """What many parts of a run look at: the clock of training time, the notice to stop, a step's work."""

    clock: Clock
    notice: StopNotice
    work: Work


def work_of(model: ContrastiveModel, architecture: Architecture, precision: str) -> Work:
    """Count for a model on its device, before anything wraps it."""
    frozen = {name for name, p in model.clip.named_parameters() if not p.requires_grad}
    gpu = torch.cuda.is_available()
    peak = peak_flops(torch.cuda.get_device_name(), precision) if gpu else None
    return Work(model, count_flops(architecture, frozen), peak)
