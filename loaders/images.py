"""What images become: options of the tensor, and memory for it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from engine.errors import UserError
from engine.nearest import nearest
from loaders.buffers import Buffers

# CLIP's (openai/CLIP, clip.py): the means and deviations of its own training images, RGB in 0..1.
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
DTYPES = {
    "uint8": torch.uint8,
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}
PASS_ORDERS = ("pillow11", "pillow13")
TRANSFORMS = ("exact", "fast")
# One being made, some waiting, one or two with the trainer; memory that is never needed is never touched.
KEPT_BATCHES = 4


@dataclass(frozen=True)
class ImageOptions:
    """How images become a tensor: side in pixels, element type, normalisation, RandomResizedCrop's ranges.

    `channels_last`: [B, 3, S, S] lies in memory as [B, S, S, 3].
    """

    size: int = 224
    dtype: str = "uint8"
    mean: tuple[float, float, float] = CLIP_MEAN
    std: tuple[float, float, float] = CLIP_STD
    scale: tuple[float, float] = (0.9, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    pass_order: str = "pillow11"
    transform: str = "exact"
    channels_last: bool = False

    def check(self, section: str) -> None:
        """Refuse what no image could be made with; `section` of the recipe stands in the message.

        Raises:
            UserError: for an unknown dtype, pass order or transform, or an impossible range or deviation.
        """
        for name, given, known in (
            ("dtype", self.dtype, list(DTYPES)),
            ("pass_order", self.pass_order, PASS_ORDERS),
            ("transform", self.transform, TRANSFORMS),
        ):
            if given not in known:
                raise UserError(
                    f"{section}.{name}: {given!r} given; expected {', '.join(known)}{nearest(given, known)}"
                )
        for name, (low, high) in (("scale", self.scale), ("ratio", self.ratio)):
            if not 0 < low <= high < math.inf:
                raise UserError(f"{section}.{name}: {low}, {high} given; expected 0 < low <= high")
        if not all(0 < std < math.inf for std in self.std):
            raise UserError(f"{section}.std: {self.std} given; expected three numbers above 0")

    def native(self) -> dict[str, Any]:
        """Return the keyword arguments of the native batch calls."""
        layout = "nhwc" if self.channels_last else "nchw"
        own = {"dtype": self.dtype, "mean": self.mean, "std": self.std, "pass_order": self.pass_order}
        return {**own, "layout": layout}


def empty_images(count: int, options: ImageOptions, buffers: Buffers) -> torch.Tensor:
    """Return memory for `count` images where the trainer wants it.

    In a worker process: shared memory, so that the batch reaches the main process without a copy. Beside a
    GPU: pinned memory, which torch's host allocator reuses. Else a block of `buffers`.
    """
    dtype = DTYPES[options.dtype]
    size = count * 3 * options.size**2
    if torch.utils.data.get_worker_info() is not None:
        # what torch's own collate uses
        shared = torch.UntypedStorage._new_shared(size * dtype.itemsize)  # type: ignore[no-untyped-call]
        return shaped(torch.empty(0, dtype=dtype).set_(shared), options)
    if torch.cuda.is_available():
        return shaped(torch.empty(size, dtype=dtype, pin_memory=True), options)
    return shaped(buffers.take(size * dtype.itemsize).view(dtype), options)


def shaped(memory: torch.Tensor, options: ImageOptions) -> torch.Tensor:
    """View memory [B * 3 * S * S] as images [B, 3, S, S]."""
    if options.channels_last:
        return memory.view(-1, options.size, options.size, 3).permute(0, 3, 1, 2)
    return memory.view(-1, 3, options.size, options.size)


def as_numpy(image: torch.Tensor, options: ImageOptions) -> NDArray[Any]:
    """View images [B, 3, S, S] as the array that native calls fill; half floats as uint16 bit patterns."""
    held = image.permute(0, 2, 3, 1) if options.channels_last else image
    if held.dtype in (torch.bfloat16, torch.float16):
        bits: NDArray[Any] = held.view(torch.int16).numpy().view(np.uint16)
        return bits
    array: NDArray[Any] = held.numpy()
    return array
