"""Makes the images in both forms: tar files as open_clip reads them, and shards packed from those."""

from __future__ import annotations

import shutil
import tarfile
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.gpu.photos import draw_caption, draw_photo
from benchmarks.gpu.task import CONTEXT, FORMS, SOURCE, Data, Task, describe
from benchmarks.loader.data import image_files, make_small
from benchmarks.training.corpus import add_member, pack
from engine.errors import UserError
from engine.numbers import cores

TARS = 16
"""open_clip wants one for each of its worker processes, engine.shard packs one in each of its own."""


def measure(task: Task) -> dict[str, Any]:
    """Write tars and shards of both forms; returns sizes and seconds.

    Raises:
        UserError: `images` has no JPEG files.
    """
    data, settings = task.data, task.settings
    shutil.rmtree(data.root, ignore_errors=True)
    files = _files(settings.images, settings.distinct)
    began = time.perf_counter()
    for form in FORMS:
        data.tars(form).mkdir(parents=True)
    with ProcessPoolExecutor(min(TARS, cores())) as processes:
        write = partial(_write_tars, data, files, settings.distinct, settings.repeats)
        sizes = [sum(column) for column in zip(*processes.map(write, range(TARS)), strict=True)]
    drawn = time.perf_counter()
    for form in FORMS:
        words = [str(data.tars(form)), "--caption", f"{SOURCE}=txt", "--check", "header"]
        pack([*words, "--context-length", str(CONTEXT), "--out", str(data.shards(form))], min(TARS, cores()))
    data.mark.write_text(describe(settings))
    average = {f"{form}_kb": size / settings.distinct / 1000 for form, size in zip(FORMS, sizes, strict=True)}
    return {
        "samples": settings.samples,
        "draw_s": drawn - began,
        "pack_s": time.perf_counter() - drawn,
        **average,
    }


def _files(folder: str | None, distinct: int) -> list[Path]:
    if folder is None:
        return []
    files = image_files(Path(folder), distinct)
    if not files:
        raise UserError(
            f"--images {folder}: no JPEG files there; give a folder that holds some, or leave it out"
        )
    return files


def _write_tars(data: Data, files: list[Path], distinct: int, repeats: int, number: int) -> tuple[int, ...]:
    """Tar `number` of each form; returns the bytes of its distinct images in each."""
    sizes = [0] * len(FORMS)
    tars = [tarfile.open(data.tars(form) / f"{number:05d}.tar", "w") for form in FORMS]  # noqa: SIM115
    for image in range(number, distinct, TARS):
        original = files[image % len(files)].read_bytes() if files else draw_photo(image)
        caption = draw_caption(image).encode()
        for at, encoded in enumerate((make_small(original), original)):
            sizes[at] += len(encoded)
            for repeat in range(repeats):
                add_member(tars[at], f"{image:06d}_{repeat:03d}.jpg", encoded)
                add_member(tars[at], f"{image:06d}_{repeat:03d}.txt", caption)
    for tar in tars:
        tar.close()
    return tuple(sizes)
