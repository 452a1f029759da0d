"""A model as the tables need it: images and texts in, features as the model gives them out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Features = NDArray[np.float32]


class Encoder(Protocol):
    """Attributes: name, for people; id, a hash of all that decides a feature; description, for reports."""

    name: str
    id: str
    description: dict[str, Any]

    def images(self, files: Sequence[bytes]) -> tuple[Features, NDArray[np.uint8]]:
        """Features float32 [N, D], not normalised (zeros where a file does not decode), and a status [N]."""

    def texts(self, texts: Sequence[str]) -> Features:
        """Features float32 [M, D], not normalised."""


@dataclass(frozen=True)
class ModelOptions:
    """What a user says about the model.

    Attributes:
        model: a run's folder or checkpoint of ours, a folder of open_clip's or transformers', an architecture
            of open_clip's, or ORG/NAME on the Hub.
        pretrained: for an architecture: a file with weights, or open_clip's tag of them.
        tokenizer: overrides the model's own: `clip`, a folder or a name.
        transform: overrides the model's own: `tensorflow` (the released VeCLIP models), or None.
        averaged: of a run with `ema`: the averaged weights.
        device: `auto`, `cpu` or `cuda`.
        precision: `auto`, `fp32` or `bf16`.
    """

    model: str
    pretrained: str | None = None
    tokenizer: str | None = None
    transform: str | None = None
    averaged: bool = True
    device: str = "auto"
    precision: str = "auto"
