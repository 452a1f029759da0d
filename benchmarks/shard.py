"""Building shards: ours against MosaicML's MDSWriter (with Pillow where images are resized), bytes checked.

python -m benchmarks.shard --images ../shared/data/imagenet_sample_orig --folder /dev/shm --json shard.json

Both write the same columns, encoded already, with the same hashes, one process per core, each its own part.
"""

from __future__ import annotations

import argparse
import io
import json
import multiprocessing
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.loader.data import read_images
from engine.native import PrepareOptions, ThreadPool, prepare_images
from engine.shards.index import write_index
from engine.shards.mds_writer import MdsWriter
from engine.shards.reader import open_dataset

COLUMNS = {"key": "str", "image": "bytes", "width": "int32", "captions": "json", "tokens": "ndarray:uint16"}
HASHES: tuple[list[str], ...] = ([], ["xxh64"], ["sha1", "xxh64"])
BATCH = 256
SIDE = 256
QUALITY = 90
Columns = dict[str, list[bytes]]


@dataclass(frozen=True)
class Job:
    """What both sides do; `resize` reduces images to a shorter side of SIDE pixels, quality QUALITY."""

    name: str
    columns: Columns
    hashes: list[str]
    resize: bool = False

    def part(self, number: int, parts: int) -> Job:
        """Every `parts`-th sample from `number` on."""
        columns = {name: values[number::parts] for name, values in self.columns.items()}
        return Job(self.name, columns, self.hashes, self.resize)


def made_up_images(image_bytes: int, total_bytes: int) -> list[bytes]:
    """Incompressible bytes in pieces of one size."""
    count = max(1, total_bytes // image_bytes)
    pool = np.random.default_rng(0).bytes(image_bytes + count)
    return [pool[i : i + image_bytes] for i in range(count)]


def make_columns(images: Sequence[bytes]) -> Columns:
    """Encoded columns with these images."""
    return {
        "key": [b"key%08d" % i for i in range(len(images))],
        "image": list(images),
        "width": [b"\0\1\0\0"] * len(images),
        "captions": [b'{"alttext": ["a caption of the usual length of AltText"]}'] * len(images),
        "tokens": [b"\4\x20" + bytes(64)] * len(images),
    }


def pack_ours(folder: Path, job: Job) -> None:
    """As `engine.shard` packs: batches of encoded columns, images prepared natively."""
    writer, pool = MdsWriter(folder, COLUMNS, hashes=job.hashes), ThreadPool(1)
    options = PrepareOptions(resize_shorter=SIDE, quality=QUALITY)
    for at in range(0, len(job.columns["key"]), BATCH):
        batch = {name: values[at : at + BATCH] for name, values in job.columns.items()}
        if job.resize:
            batch["image"] = [image or b"" for image in prepare_images(batch["image"], options, pool)[0]]
        writer.write_batch(batch)
    write_index(folder, writer.finish())


def pack_mosaic(folder: Path, job: Job) -> None:
    """MosaicML's writer: takes bytes as they are, too."""
    from streaming import MDSWriter

    with MDSWriter(out=str(folder), columns=COLUMNS, hashes=list(job.hashes)) as writer:
        for values in zip(*job.columns.values(), strict=True):
            sample = dict(zip(job.columns, values, strict=True))
            if job.resize:
                sample["image"] = resize_with_pillow(sample["image"])
            writer.write(sample)


def resize_with_pillow(data: bytes) -> bytes:
    """torchvision's Resize(SIDE) with Pillow; an image that is small enough stays as it is."""
    from PIL import Image

    image = Image.open(io.BytesIO(data))
    shorter = min(image.size)
    if shorter <= SIDE:
        return data
    size = (image.width * SIDE // shorter, image.height * SIDE // shorter)
    file = io.BytesIO()
    image.convert("RGB").resize(size, Image.Resampling.BICUBIC).save(
        file, "JPEG", quality=QUALITY, subsampling="4:2:0", optimize=True
    )
    return file.getvalue()


PACKERS: dict[str, Callable[[Path, Job], None]] = {"ours": pack_ours, "mosaicml": pack_mosaic}
_job: Job  # of a worker process, inherited from its parent


def _pack_part(name: str, folder: str, number: int, parts: int) -> float:
    """In a worker process: pack one part; returns processor seconds."""
    part = _job.part(number, parts)
    start = time.process_time()
    PACKERS[name](Path(folder) / str(number), part)
    return time.process_time() - start


def turn(workers: ProcessPoolExecutor, name: str, folder: Path, cores: int) -> dict[str, float]:
    """Wall and processor seconds of one packing by all workers."""
    start = time.perf_counter()
    parts = [workers.submit(_pack_part, name, str(folder), number, cores) for number in range(cores)]
    cpu = sum(part.result() for part in parts)
    return {"seconds": time.perf_counter() - start, "cpu_s": cpu}


def largest_difference(ours: Path, theirs: Path, resized: bool) -> int | None:
    """0 if every shard is byte for byte the same; else, of resized images, the largest pixel difference."""
    files = sorted(path.relative_to(theirs) for path in theirs.rglob("*.mds"))
    if files and all((ours / file).read_bytes() == (theirs / file).read_bytes() for file in files):
        return 0
    return _largest_pixel_difference(ours, theirs, files) if resized and files else None


def _largest_pixel_difference(ours: Path, theirs: Path, files: Sequence[Path]) -> int | None:
    from PIL import Image

    largest = 0
    for folder in sorted({file.parent for file in files}):
        sides = [open_dataset(root / folder) for root in (ours, theirs)]
        for number in range(len(sides[0])):
            stored = [side.sample(number)["image"] for side in sides]
            a, b = (np.asarray(Image.open(io.BytesIO(image)), np.int16) for image in stored)
            if a.shape != b.shape:
                return None
            largest = max(largest, int(np.abs(a - b).max()))
    return largest


def measure(job: Job, root: Path, rounds: int, cores: int) -> dict[str, Any]:
    """A row: `rounds` turns of each, one after the other within a round.

    Raises:
        SystemExit: when the two do not hold the same.
    """
    global _job
    _job = job
    turns: dict[str, list[dict[str, float]]] = {name: [] for name in PACKERS}
    with ProcessPoolExecutor(cores, multiprocessing.get_context("fork")) as workers:
        for number in range(rounds + 1):
            folder = Path(tempfile.mkdtemp(dir=root))
            try:
                for name in PACKERS if number % 2 else reversed(PACKERS):
                    found = turn(workers, name, folder / name, cores)
                    if number > 0:  # the first round imports and warms up
                        turns[name].append(found)
                if number == 0:
                    difference = largest_difference(folder / "ours", folder / "mosaicml", job.resize)
            finally:
                shutil.rmtree(folder)
    if difference is None or (difference and not job.resize):
        raise SystemExit(f"{job.name}, hashes {job.hashes}: the two wrote different shards")
    return _row(job, turns, cores, difference)


def _row(job: Job, turns: dict[str, list[dict[str, float]]], cores: int, difference: int) -> dict[str, Any]:
    def ratios(field: str) -> list[float]:
        pairs = zip(turns["mosaicml"], turns["ours"], strict=True)
        return [round(theirs[field] / ours[field], 2) for theirs, ours in pairs]

    images = job.columns["image"]
    seconds = statistics.median(found["seconds"] for found in turns["ours"])
    walls = ratios("seconds")
    return {
        "peer": "mosaicml",
        "job": job.name,
        "image_bytes": round(statistics.mean(map(len, images))),
        "hashes": job.hashes,
        "cores": cores,
        "images_per_s": round(len(images) / seconds),
        "ratio": statistics.median(walls),
        "ratio_min": min(walls),
        "ratio_max": max(walls),
        "cpu_ratio": statistics.median(ratios("cpu_s")),
        "max_diff": difference,
    }


def jobs(images: Path | None, total_bytes: int) -> list[Job]:
    """Pass-through at a few sizes and hashes; resizing where there are images."""
    found = [
        Job("pass-through", make_columns(made_up_images(size, total_bytes)), hashes)
        for size in (8_000, 30_000, 110_000)
        for hashes in HASHES
    ]
    if images is not None:
        originals = read_images(images, limit=1 << 30)
        if not originals:
            raise SystemExit(f"--images {images}: no JPEG files there; give a folder that holds some")
        found.append(Job(f"resize to {SIDE}", make_columns(originals), ["xxh64"], resize=True))
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print a line per row, write JSON."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks.shard",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--images", type=Path, metavar="DIR", help="JPEG files for the resizing job (without: no such job)")
    add("--folder", type=Path, default=Path(tempfile.gettempdir()), help="where to write shards")
    add("--json", type=Path, metavar="FILE", help="write the rows there")
    add("--megabytes", type=int, default=300, help="made-up images per pass-through job (default 300)")
    add("--rounds", type=int, default=3, help="measured turns of each (default 3)")
    add("--cores", type=int, default=min(2, len(os.sched_getaffinity(0))), help="processes (default 2)")
    options = parser.parse_args(arguments)
    rows = []
    for job in jobs(options.images, options.megabytes * 1_000_000):
        row = measure(job, options.folder, options.rounds, options.cores)
        print("  ".join(f"{name}={value}" for name, value in row.items()), flush=True)
        rows.append(row)
        if options.json:
            options.json.write_text(json.dumps(rows, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
