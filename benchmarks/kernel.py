"""Decode and training transform on one thread, ours against open_clip's on PIL.

Example:
    python -m benchmarks.kernel --images ../shared/data/imagenet_sample_orig --json kernel.json
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

import numpy as np

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}
SMALL_SIDE = 256
"""Shorter side of the stored-small set, in pixels; JPEG quality 90, 4:2:0."""
BATCH = 32


@dataclass(frozen=True)
class Options:
    """What to measure."""

    images: Path
    limit: int
    rounds: int
    size: int
    dtype: str
    json: Path | None


@dataclass(frozen=True)
class Result:
    """One set of images: milliseconds of CPU time per image, one value per round."""

    name: str
    images: int
    mean_kb: float
    ours_ms: list[float]
    open_clip_ms: list[float]

    @property
    def ratios(self) -> list[float]:
        """How many times faster ours is, per round."""
        return [theirs / ours for ours, theirs in zip(self.ours_ms, self.open_clip_ms, strict=True)]


def make_small(data: bytes) -> bytes:
    """The image re-encoded at SMALL_SIDE, as a data set stored small would hold it."""
    from PIL import Image

    image = Image.open(io.BytesIO(data)).convert("RGB")
    factor = SMALL_SIDE / min(image.size)
    file = io.BytesIO()
    if factor < 1:
        image = image.resize(
            (round(image.width * factor), round(image.height * factor)), Image.Resampling.BICUBIC
        )
    image.save(file, "jpeg", quality=90, subsampling="4:2:0")
    return file.getvalue()


def ours(options: Options, images: list[bytes]) -> Callable[[], None]:
    """A run of probe, crop boxes and train_batch over all images, into one reused batch."""
    from engine import native

    pool = native.ThreadPool(1)
    storage = {"float32": np.float32, "bfloat16": np.uint16, "uint8": np.uint8}[options.dtype]
    out = np.empty((BATCH, 3, options.size, options.size), dtype=storage)
    infos = [native.probe(data) for data in images]  # a loader has the sizes in its columns
    widths = np.array([info.width for info in infos], dtype=np.int32)
    heights = np.array([info.height for info in infos], dtype=np.int32)
    hashes = np.arange(len(images), dtype=np.uint64)
    epoch = iter(range(1 << 20))

    def run() -> None:
        boxes = native.crop_boxes(widths, heights, hashes, seed=0, epoch=next(epoch))
        for first in range(0, len(images), BATCH):
            some = images[first : first + BATCH]
            native.train_batch(
                some, boxes[first : first + BATCH], out[: len(some)], pool, dtype=options.dtype
            )

    return run


def open_clip_pil(options: Options, images: list[bytes]) -> Callable[[], None]:
    """A run of Image.open, convert("RGB") and open_clip's training transform over all images."""
    import torch
    from open_clip.transform import image_transform
    from PIL import Image

    torch.set_num_threads(1)
    transform = image_transform(options.size, is_train=True)

    def run() -> None:
        for data in images:
            transform(Image.open(io.BytesIO(data)).convert("RGB"))

    return run


def measure(name: str, options: Options, images: list[bytes]) -> Result:
    """Rounds of both, one after the other within each, after one of each to warm up."""
    runs = (ours(options, images), open_clip_pil(options, images))
    times: tuple[list[float], list[float]] = ([], [])
    for number in range(options.rounds + 1):
        for run, kept in zip(runs, times, strict=True):
            start = time.thread_time()
            run()
            if number > 0:
                kept.append(1000 * (time.thread_time() - start) / len(images))
    return Result(name, len(images), sum(map(len, images)) / len(images) / 1000, *times)


def report(results: Sequence[Result]) -> None:
    """The table."""
    print(
        f"{'images':<14}{'n':>5}{'KB':>7}{'ours ms':>9}{'open_clip ms':>14}{'ratio':>7}{'min':>6}{'max':>6}"
    )
    for r in results:
        ours_ms, theirs_ms = statistics.median(r.ours_ms), statistics.median(r.open_clip_ms)
        ratio = statistics.median(r.ratios)
        spread = f"{min(r.ratios):>6.2f}{max(r.ratios):>6.2f}"
        print(
            f"{r.name:<14}{r.images:>5}{r.mean_kb:>7.1f}{ours_ms:>9.3f}{theirs_ms:>14.3f}{ratio:>7.2f}{spread}"
        )


def parse(arguments: Sequence[str] | None) -> Options:
    """Options from the command line."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks.kernel",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--images", type=Path, required=True, metavar="DIR", help="folder of image files")
    parser.add_argument(
        "--limit", type=int, default=64, help="images taken, spread over the folder (default 64)"
    )
    parser.add_argument("--rounds", type=int, default=5, help="measured rounds (default 5)")
    parser.add_argument("--size", type=int, default=224, help="side of the output (default 224)")
    parser.add_argument(
        "--dtype", choices=["float32", "bfloat16", "uint8"], default="float32", help="our output"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    return Options(**vars(parser.parse_args(arguments)))


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    options = parse(arguments)
    files = sorted(file for file in options.images.rglob("*") if file.suffix.lower() in SUFFIXES)
    if not files:
        print(
            f"--images {options.images}: no image files there; give a folder of JPEG files", file=sys.stderr
        )
        return 1
    random.Random(0).shuffle(files)
    originals = [file.read_bytes() for file in files[: options.limit]]
    small = [make_small(data) for data in originals]
    results = [measure("originals", options, originals), measure("stored small", options, small)]
    report(results)
    if options.json:
        options.json.write_text(json.dumps([asdict(r) | {"ratios": r.ratios} for r in results], indent=1))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
