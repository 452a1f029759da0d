"""A model's own image transform, computed by the native pool."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine import native

# What Pillow does up to version 12; the models were trained with it.
PASS_ORDER = "pillow11"
Triple = tuple[float, float, float]


@dataclass(frozen=True)
class ImageTransform:
    """From an image file to what a model sees; see `engine.native.eval_batch` for `fit` and `shorter`.

    Attributes:
        size: side of the result, pixels.
        fit: `torchvision`, `transformers` or `squash`.
        shorter: pixels of the shorter side that `size` is cut out of; 0 where they are the same.
        filter: `bicubic` or `bilinear`, antialiased.
        mean, std: of values in 0..1, by channel.
    """

    size: int
    fit: str
    shorter: int
    filter: str
    mean: Triple
    std: Triple

    def apply(
        self, images: Sequence[bytes], pool: native.ThreadPool, limits: native.Limits
    ) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """Pixels float32 `[N, 3, size, size]` and a status uint8 `[N]` for each; failed images are zeros."""
        out = np.empty((len(images), 3, self.size, self.size), np.float32)
        status = native.eval_batch(
            images, out, pool, dtype="float32", mean=self.mean, std=self.std, pass_order=PASS_ORDER,
            limits=limits, fit=self.fit, shorter=self.shorter, filter=self.filter,
        )  # fmt: skip
        return out, status

    def describe(self) -> dict[str, Any]:
        """As `scores.json` has it."""
        return {**asdict(self), "mean": list(self.mean), "std": list(self.std), "pass_order": PASS_ORDER}
