"""What recaptioning costs besides the model: against a server that answers at once.

python -m benchmarks.recaption --json recaption.json

`vec` decodes and shrinks every image and sends it; `vecap` sends AltText and VeC; both check the answer and
write the ledger. Wall-clock rates need a quiet machine; processor time a sample says the same on a busy one.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import multiprocessing
import os
import resource
import tarfile
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.answering_server import Answer, AnsweringServer, prompt_of
from engine.build.budget import Budget
from engine.recap.options import SAMPLINGS, EngineOptions, ModelOptions, RecaptionOptions, Stage
from engine.recap.run import RunOptions, recaption
from engine.sources import SourceOptions, open_source

SAMPLES_PER_TAR = 1000
IMAGE_SIZE = (500, 375)  # what web data sets are made of; 336 is sent
CAPTIONS = {"alttext": "txt", "vec": "json:vec"}


def answer(asked: dict[str, Any]) -> Answer:
    """A caption of usual length that differs from request to request."""
    text = f"A small brown dog number {asked['seed']} runs over the wet green field with a ball."
    return Answer(json.dumps({"caption": text}) if '"caption"' in prompt_of(asked) else text)


def serve(pipe: Pipe) -> None:
    """The server's process."""

    async def run() -> None:
        pipe.send(await AnsweringServer(answer).start())
        await asyncio.Event().wait()

    asyncio.run(run())


@contextmanager
def server() -> Iterator[str]:
    """A server in a process of its own; its URL."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=serve, args=(theirs,), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{ours.recv()}/v1"
    finally:
        process.kill()
        process.join()


def jpeg_files(count: int) -> list[bytes]:
    """Files of photographs' size and detail: smooth noise."""
    from PIL import Image

    draw, files = np.random.default_rng(0), []
    for _ in range(count):
        small = draw.integers(0, 256, (IMAGE_SIZE[1] // 6, IMAGE_SIZE[0] // 6, 3), np.uint8)
        stream = io.BytesIO()
        Image.fromarray(small).resize(IMAGE_SIZE, Image.Resampling.BICUBIC).save(stream, "JPEG", quality=90)
        files.append(stream.getvalue())
    return files


def write_tars(folder: Path, samples: int, images: list[bytes]) -> None:
    """Samples with AltText and VeC."""
    for first in range(0, samples, SAMPLES_PER_TAR):
        with tarfile.open(folder / f"{first // SAMPLES_PER_TAR:05d}.tar", "w") as archive:
            for at in range(first, min(first + SAMPLES_PER_TAR, samples)):
                vec = json.dumps({"vec": f"A small dog number {at} stands on a green field with a red ball."})
                alttext = f"IMG_{at}.JPG | Buy dog toys number {at} online, free shipping on all orders"
                for name, data in (
                    ("jpg", images[at % len(images)]),
                    ("txt", alttext.encode()),
                    ("json", vec.encode()),
                ):
                    member = tarfile.TarInfo(f"{at:08d}.{name}")
                    member.size = len(data)
                    archive.addfile(member, io.BytesIO(data))


def measure(folder: Path, stage: Stage, url: str, workers: int) -> dict[str, float]:
    """Samples a second and milliseconds of processor time a sample, workers included, server excluded."""
    captions = CAPTIONS if stage.kind == "vecap" else {"alttext": "txt"}
    source = SourceOptions((str(folder / "*.tar"),), captions=captions)
    options = RecaptionOptions(source, stage, ModelOptions(), "hardened", SAMPLINGS[stage.kind])
    run = RunOptions(folder / "ledger", EngineOptions(url, ModelOptions()), workers, budget=Budget(0))
    begun, before = time.monotonic(), _processor_s()
    result = recaption(open_source(source), options, run)
    seconds, processor = time.monotonic() - begun, _processor_s() - before
    rows = result.counts.out
    return {
        "samples": rows,
        "samples_per_s": rows / seconds,
        "processor_ms_per_sample": 1000 * processor / rows,
        "workers": workers,
    }


def _processor_s() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def main() -> None:
    """Prints both measurements."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=4000, help="samples through vec (default 4000)")
    parser.add_argument("--captions", type=int, default=12000, help="samples through vecap (default 12000)")
    parser.add_argument("--workers", type=int, default=2, help="processes (default 2)")
    parser.add_argument("--json", type=Path, help="write the results here too")
    args = parser.parse_args()
    results: dict[str, Any] = {"cores": len(os.sched_getaffinity(0)), "load": os.getloadavg()[0]}
    with server() as url:
        for stage, samples, images in (
            (Stage("vec", "vec"), args.images, jpeg_files(64)),
            (Stage("vecap", "vecap"), args.captions, [b"\xff\xd8 no image is looked at"]),
        ):
            with tempfile.TemporaryDirectory() as folder:
                write_tars(Path(folder), samples, images)
                results[stage.source] = measure(Path(folder), stage, url, args.workers)
            print(stage.source, json.dumps(results[stage.source]), flush=True)
    if args.json:
        args.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
