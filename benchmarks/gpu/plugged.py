"""The rival decoder: torchvision's decode_jpeg on the device, plugged into our loader in its decoder's place.

So all decoders get the same bytes in the same order with the same boxes, inside the same loader.
"""

from __future__ import annotations

import threading
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from engine.native import Status
from loaders.decoder import NativeDecoder, Pending, Work
from loaders.images import DTYPES, ImageOptions, shaped


class TorchvisionDecoder:
    """One call decodes a batch (nvJPEG on a GPU); then each image is cropped and resized by itself.

    The resize is torchvision's own: bicubic and antialiased, on the device. Only JPEG; a batch with anything
    else in it, or with a damaged image, is left to our own core.
    """

    def __init__(self, options: ImageOptions, device: str, native: NativeDecoder) -> None:
        """Decode for `device`, "cpu" or "cuda"."""
        self._options, self._device, self._native = options, device, native
        self._turn = threading.Lock()
        shape = (3, 1, 1)
        self._mean = torch.tensor(options.mean, device=device).view(shape)
        self._std = torch.tensor(options.std, device=device).view(shape)

    def empty(self, count: int) -> torch.Tensor:
        """Return memory on the device."""
        size = count * 3 * self._options.size**2
        return shaped(
            torch.empty(size, dtype=DTYPES[self._options.dtype], device=self._device), self._options
        )

    def start(self, work: Work) -> Pending:
        """Do nothing yet: `finish` decodes."""
        return _Waiting(self, work)

    def decode(self, work: Work) -> NDArray[np.uint8]:
        """Fill the slots; return the status uint8 [N]."""
        from torchvision.io import ImageReadMode, decode_jpeg

        encoded = [torch.from_numpy(view) for view in work.images.views()]
        with self._turn:
            try:
                images = decode_jpeg(encoded, mode=ImageReadMode.RGB, device=self._device)
            except RuntimeError:
                return self.decode_exactly(work)
            for slot, image, box in zip(work.out, images, work.boxes.tolist(), strict=True):
                slot.copy_(self._crop(image, box))
        return np.full(len(images), Status.OK, np.uint8)

    def _crop(self, image: torch.Tensor, box: list[int]) -> torch.Tensor:
        from torchvision.transforms import InterpolationMode
        from torchvision.transforms.v2 import functional as tf

        left, top, width, height = box
        side, cubic = [self._options.size] * 2, InterpolationMode.BICUBIC
        cropped: torch.Tensor = tf.resized_crop(image, top, left, height, width, side, cubic, antialias=True)
        return cropped if self._options.dtype == "uint8" else (cropped / 255 - self._mean) / self._std

    def decode_exactly(self, work: Work) -> NDArray[np.uint8]:
        """Have our own core decode, and copy."""
        host = self._native.empty(len(work.out))
        status = self._native.decode_exactly(work._replace(out=host))
        work.out.copy_(host)
        return status

    def drop(self) -> None:
        """Nothing was begun."""


class _Waiting(NamedTuple):
    decoder: TorchvisionDecoder
    work: Work

    def finish(self) -> NDArray[np.uint8]:
        return self.decoder.decode(self.work)
