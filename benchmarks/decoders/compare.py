"""The same crops by both decoders, image by image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.decoders.forms import form_of, why_not_given
from benchmarks.images import Named
from benchmarks.jpeg import error
from engine.native import ColumnView, Limits, NativeError, crop_boxes, probe
from loaders.counters import Counters
from loaders.dali import DaliDecoder, given_to_dali
from loaders.decoder import Decoder, NativeDecoder, Work
from loaders.images import ImageOptions

AT_ONCE = 64


@dataclass(frozen=True)
class Result:
    """One crop.

    Attributes:
        box: left, top, width, height.
        left: why our own core decoded it in DALI's place; empty where DALI did.
        mean, largest: absolute difference of 8-bit values; psnr: dB, 168 where they are equal.
    """

    name: str
    form: str
    box: tuple[int, int, int, int]
    left: str
    mean: float
    largest: int
    psnr: float


class Comparison:
    """Both decoders, for crops of one size."""

    def __init__(self, size: int, scale: tuple[float, float], threads: int) -> None:
        """`size`: side of the output, pixels; `scale`: RandomResizedCrop's."""
        self.options = ImageOptions(size=size, scale=scale)
        self.by_dali_alone: list[str] = []  # names of damaged files that our own core refuses
        self._counters = Counters()
        self._native = NativeDecoder(self.options, threads, self._counters)
        self._dali = DaliDecoder(self.options, threads, self._native, self._counters)

    @property
    def device(self) -> str:
        """Where DALI decodes."""
        number = self._dali.device
        return "CPU" if number is None else f"GPU {torch.cuda.get_device_name(number)}"

    def results(self, images: Sequence[Named]) -> Iterator[Result]:
        """Compare all that our own core can decode; the rest is left out."""
        sized = [(image, size) for image in images if (size := _size_of(image.data))]
        for at in range(0, len(sized), AT_ONCE):
            yield from self._some(*zip(*sized[at : at + AT_ONCE], strict=True))

    def _some(self, images: Sequence[Named], sizes: Sequence[tuple[int, int]]) -> Iterator[Result]:
        given = np.array(sizes, np.int32)
        keys = np.arange(len(images), dtype=np.uint64)
        boxes = crop_boxes(
            given[:, 0].copy(), given[:, 1].copy(), keys, seed=0, epoch=0, scale=self.options.scale
        )
        work = Work(ColumnView([image.data for image in images]), boxes, given, Limits(), torch.empty(0))
        reads = given_to_dali(work)
        wanted, exact = _pixels(self._native, work)
        before = self._counters.total().left_to_native
        found, close = _pixels(self._dali, work)
        failed = self._counters.total().left_to_native - before - int((~reads).sum())
        if failed and len(images) > 1:  # DALI does not say at which
            for image, size in zip(images, sizes, strict=True):
                yield from self._some([image], [size])
            return
        self.by_dali_alone += [images[i].name for i in np.flatnonzero((wanted != 0) & (found == 0)).tolist()]
        for i in np.flatnonzero(wanted == 0).tolist():
            yield self._result(images[i], boxes[i], reads[i], failed, (exact[i], close[i]))

    def _result(
        self,
        image: Named,
        box: NDArray[np.int32],
        reads: bool,
        failed: int,
        pixels: tuple[NDArray[np.uint8], NDArray[np.uint8]],
    ) -> Result:
        form = form_of(image.data)
        left = "DALI failed" if failed else "" if reads else why_not_given(image.data, form)
        mean, psnr = error(*pixels)
        largest = int(np.abs(pixels[0].astype(np.int16) - pixels[1]).max())
        return Result(image.name, form, tuple(box.tolist()), left, mean, largest, psnr)


def _size_of(data: bytes) -> tuple[int, int] | None:
    try:
        info = probe(data)
    except NativeError:
        return None
    return info.width, info.height


def _pixels(decoder: Decoder, work: Work) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """(status uint8 [N], pixels uint8 [N, 3, S, S])."""
    out = decoder.empty(len(work.boxes))
    status = decoder.start(work._replace(out=out)).finish()
    return status, out.cpu().numpy().copy()
