"""A model as the tables need it: images and texts in, features as the model gives them out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from engine.native import Limits, ThreadPool
from engine.scoring.options import Compute
from engine.scoring.scorer import Towers, exactly
from engine.scoring.tokens import Tokens
from engine.tokenizers.base import fingerprint_of
from loaders.threads import default_threads

Features = NDArray[np.float32]
# On a CPU each thread computes a portion by itself: small ones stay in its cache. A GPU wants large ones.
IMAGES_AT_ONCE, TEXTS_AT_ONCE = {"cpu": 16, "cuda": 256}, {"cpu": 64, "cuda": 512}
# With bf16 on a CPU a call of ViT-B/32 took as long as 50 images before its first one; why is not known.
BF16_ON_CPU = 4


class Encoder(Protocol):
    """A model with its transform and tokenizer.

    Attributes:
        name: for people.
        id: a hash of all that decides a feature.
        description: for reports.
        at_once: images that `images` takes at a time.
        workers: how many such portions are computed side by side.
    """

    name: str
    id: str
    description: dict[str, Any]
    at_once: int
    workers: int

    def decoded(self, files: Sequence[bytes]) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """Pixels float32 [N, 3, S, S], zeros where a file does not decode, and a native status [N]."""

    def images(self, pixels: NDArray[np.float32]) -> Future[Features]:
        """Features float32 [N, D], not normalised."""

    def texts(self, texts: Sequence[str]) -> Features:
        """Features float32 [M, D], not normalised, of at least one text."""


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


class ClipEncoder:
    """Computes portions of fixed sizes, each by one thread: the same numbers on any number of cores."""

    def __init__(self, towers: Towers, compute: Compute, name: str, deciding: dict[str, Any]) -> None:
        """Starts no thread yet.

        Args:
            towers: the model.
            compute: where it is.
            name: for people.
            deciding: all that a feature follows from.
        """
        self.name, self.id = name, fingerprint_of(deciding)[:16]
        self.description = {"model": name, "id": self.id, **deciding}
        times = BF16_ON_CPU if (compute.device, compute.precision) == ("cpu", "bf16") else 1
        self.at_once = times * IMAGES_AT_ONCE[compute.device]
        threads = default_threads(0)
        self.workers = 1 if compute.device == "cuda" else threads
        self._texts_at_once = times * TEXTS_AT_ONCE[compute.device]
        self._towers, self._compute = towers, compute
        self._pool = ThreadPool(threads)
        self._executor = ThreadPoolExecutor(self.workers, "encode", self._enter)

    def _enter(self) -> None:
        """Threads and the GPU are a thread's own settings."""
        exactly()
        use_own_gpu(self._compute)

    def decoded(self, files: Sequence[bytes]) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """See `Encoder`."""
        return self._towers.transform.apply(files, self._pool, Limits())

    def images(self, pixels: NDArray[np.float32]) -> Future[Features]:
        """See `Encoder`."""
        return self._executor.submit(self._towers.image_features, pixels)

    def texts(self, texts: Sequence[str]) -> Features:
        """See `Encoder`."""
        tokens = self._towers.reader(texts)
        order = np.argsort(tokens.lengths, kind="stable")  # a portion costs as much as its longest text
        parts = list(self._portions(tokens, order))
        found = np.concatenate(list(self._executor.map(self._towers.text_features, parts)))
        features = np.empty_like(found)
        features[order] = found
        return features

    def _portions(self, tokens: Tokens, order: NDArray[np.int64]) -> Iterator[Tokens]:
        for at in range(0, len(order), self._texts_at_once):
            rows = order[at : at + self._texts_at_once]
            mask = None if tokens.mask is None else tokens.mask[rows]
            yield Tokens(tokens.ids[rows], tokens.lengths[rows], mask)


def use_own_gpu(compute: Compute) -> None:
    """Make a rank's GPU the one that `cuda` means in this thread."""
    if compute.device == "cuda":
        import torch
        from composer.utils import dist

        torch.cuda.set_device(dist.get_local_rank() % torch.cuda.device_count())
