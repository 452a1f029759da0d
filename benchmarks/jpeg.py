"""The whole training transform against libjpeg-turbo's decode alone, one thread, and the fast mode's error.

Example:
    python -m benchmarks.jpeg --images ../shared/data/imagenet_sample_orig --json jpeg.json

Each round runs, one after the other over the same files in memory: libjpeg-turbo decoding to RGB in reused
memory and nothing else (`prepare_images(check="full")` under `set_jpeg("library")`), our own decoder doing
the same, `train_batch` (decode, crop, bicubic resize to 224, normalise to float32) in exact mode by both
decoders, and in fast mode. Times are processor time; ratios are taken within a round.
"""

from __future__ import annotations

import argparse
import io
import json
import random
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

SUFFIXES = {".jpg", ".jpeg"}
SMALL_SIDE = 256
"""Shorter side of the stored-small set, in pixels; JPEG quality 90, 4:2:0."""
SIZE = 224
BATCH = 32


@dataclass(frozen=True)
class Result:
    """One set of images: processor milliseconds an image, by what ran and round; the fast mode's error."""

    name: str
    images: int
    mean_kb: float
    ms: dict[str, list[float]]
    fast_mean_difference: float
    fast_psnr_db: float

    def ratio(self, over: str, under: str) -> list[float]:
        """How many times faster `under` is than `over`, per round."""
        return [a / b for a, b in zip(self.ms[over], self.ms[under], strict=True)]


class Work:
    """What is measured, over one list of files."""

    def __init__(self, images: list[bytes]) -> None:
        """Take the sizes beforehand: a loader has them in its columns."""
        from engine import native

        self.images = images
        self._native = native
        self._pool = native.ThreadPool(1)
        infos = [native.probe(data) for data in images]
        widths, heights = (
            np.array([getattr(info, side) for info in infos], dtype=np.int32) for side in ("width", "height")
        )
        hashes = np.arange(len(images), dtype=np.uint64)
        self._boxes = native.crop_boxes(widths, heights, hashes, seed=0, epoch=0)
        self._out = np.empty((BATCH, 3, SIZE, SIZE), dtype=np.float32)

    def decode(self, decoder: Literal["auto", "library"]) -> None:
        """RGB pixels of every file, written to the same memory."""
        self._native.set_jpeg(decoder)
        self._native.prepare_images(self.images, self._native.PrepareOptions(), self._pool)

    def train(self, decoder: Literal["auto", "library"], transform: str) -> None:
        """The training transform of every file."""
        self._native.set_jpeg(decoder)
        for first in range(0, len(self.images), BATCH):
            self._crop(first, self._out, dtype="float32", transform=transform)

    def pixels(self, transform: str) -> NDArray[np.uint8]:
        """uint8 [N, 3, SIZE, SIZE] of every file."""
        self._native.set_jpeg("auto")
        out = np.empty((len(self.images), 3, SIZE, SIZE), dtype=np.uint8)
        for first in range(0, len(self.images), BATCH):
            self._crop(first, out[first : first + BATCH], dtype="uint8", transform=transform)
        return out

    def _crop(self, first: int, out: NDArray[Any], **options: Any) -> None:
        some = self.images[first : first + BATCH]
        boxes = self._boxes[first : first + BATCH]
        status = self._native.train_batch(some, boxes, out[: len(some)], self._pool, **options)
        assert not status.any()


def make_small(data: bytes) -> bytes:
    """The image re-encoded at SMALL_SIDE, as a data set stored small would hold it."""
    from PIL import Image

    image = Image.open(io.BytesIO(data)).convert("RGB")
    factor = min(1.0, SMALL_SIDE / min(image.size))
    size = (round(image.width * factor), round(image.height * factor))
    file = io.BytesIO()
    image.resize(size, Image.Resampling.BICUBIC).save(file, "jpeg", quality=90, subsampling="4:2:0")
    return file.getvalue()


def error(exact: NDArray[np.uint8], fast: NDArray[np.uint8]) -> tuple[float, float]:
    """(mean absolute difference, peak signal-to-noise ratio in dB) over all pixels."""
    difference = exact.astype(np.int16) - fast
    squared = float(np.mean(np.square(difference, dtype=np.float64)))
    return float(np.mean(np.abs(difference))), 10 * float(np.log10(255**2 / max(squared, 1e-12)))


def measure(name: str, images: list[bytes], rounds: int) -> Result:
    """Rounds of everything, one after the other within each, after one to warm up."""
    work = Work(images)
    runs: dict[str, Callable[[], None]] = {
        "library decode": lambda: work.decode("library"),
        "own decode": lambda: work.decode("auto"),
        "library transform": lambda: work.train("library", "exact"),
        "exact transform": lambda: work.train("auto", "exact"),
        "fast transform": lambda: work.train("auto", "fast"),
    }
    times: dict[str, list[float]] = {what: [] for what in runs}
    for number in range(rounds + 1):
        for what, run in runs.items():
            start = time.process_time()
            run()
            if number > 0:
                times[what].append(1000 * (time.process_time() - start) / len(images))
    kilobytes = sum(map(len, images)) / len(images) / 1000
    return Result(name, len(images), kilobytes, times, *error(work.pixels("exact"), work.pixels("fast")))


def report(results: Sequence[Result]) -> None:
    """The tables."""
    for r in results:
        print(f"{r.name}: {r.images} files, {r.mean_kb:.1f} KB")
        for what, times in r.ms.items():
            ratios = r.ratio("library decode", what)
            spread = f"{statistics.median(ratios):.2f}x ({min(ratios):.2f}-{max(ratios):.2f})"
            print(f"  {what:<18}{statistics.median(times):>7.3f} ms   library decode alone / this: {spread}")
        gain = statistics.median(r.ratio("exact transform", "fast transform"))
        print(
            f"  fast against exact: {gain:.2f}x as fast, mean difference {r.fast_mean_difference:.3f}, "
            f"PSNR {r.fast_psnr_db:.1f} dB"
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks.jpeg",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--images", type=Path, required=True, metavar="DIR", help="folder of JPEG files")
    parser.add_argument(
        "--limit", type=int, default=64, help="images taken, spread over the folder (default 64)"
    )
    parser.add_argument("--rounds", type=int, default=5, help="measured rounds (default 5)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    options = parser.parse_args(arguments)
    files = sorted(file for file in options.images.rglob("*") if file.suffix.lower() in SUFFIXES)
    if not files:
        print(
            f"--images {options.images}: no JPEG files there; give a folder that holds some", file=sys.stderr
        )
        return 1
    random.Random(0).shuffle(files)
    originals = [file.read_bytes() for file in files[: options.limit]]
    small = [make_small(data) for data in originals]
    results = [
        measure("originals", originals, options.rounds),
        measure("stored small", small, options.rounds),
    ]
    report(results)
    if options.json:
        options.json.write_text(json.dumps([asdict(r) for r in results], indent=1))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
