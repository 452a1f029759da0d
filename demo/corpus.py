"""Makes the demo's corpus: `python -m demo.corpus out/demo/corpus`. What is in it: demo/README.md."""

from __future__ import annotations

import argparse
import csv
import io
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from demo.captions import alttext, reference, vecap
from demo.draw import draw
from demo.scene import Rng, draw_scene

SEED = 20240
SIDES = (96, 176)  # pixels, shorter side from and to
BROKEN_EVERY = 97  # of the training pictures; real crawls lose a few per cent


@dataclass(frozen=True)
class Split:
    """A part of the corpus. `number` keeps its random draws apart from the other splits'."""

    name: str
    number: int
    pictures: int
    writer: str  # whose captions stand beside AltText
    hostile: bool  # with broken files among the pictures


WRITERS = {"vecap": vecap, "reference": reference}
TRAIN = Split("train", 0, 4000, writer="vecap", hostile=True)
TEST = Split("test", 1, 500, writer="reference", hostile=False)

Row = dict[str, str]


def _encode(rng: Rng, image: Image.Image) -> tuple[bytes, str]:
    """The image as a file: 80 % JPEG, 8 % progressive JPEG, 8 % PNG, 4 % WebP; quality 40 to 95."""
    out, roll, quality = io.BytesIO(), rng.random(), int(rng.integers(40, 96))
    if roll < 0.88:
        image.save(out, "JPEG", quality=quality, progressive=roll >= 0.80)
        return out.getvalue(), "jpg"
    if roll < 0.96:
        image.save(out, "PNG")
        return out.getvalue(), "png"
    image.save(out, "WEBP", quality=quality)
    return out.getvalue(), "webp"


def _damage(rng: Rng, data: bytes) -> bytes:
    """What crawlers bring home instead of pictures: files cut off, empty files, error pages."""
    broken = (data[: len(data) // 2], b"", b"<html><body>404 Not Found</body></html>")
    return broken[int(rng.integers(len(broken)))]


def make_picture(split: Split, folder: Path, index: int) -> Row:
    """Draws picture `index` of the split into `folder`/images and returns its row of the table."""
    rng = np.random.default_rng([SEED, split.number, index])
    scene = draw_scene(rng)
    width, height = (int(side) for side in rng.integers(*SIDES, size=2))
    data, suffix = _encode(rng, draw(rng, scene, width, height))
    if split.hostile and index % BROKEN_EVERY == BROKEN_EVERY - 1:
        data = _damage(rng, data)
    name = f"images/{split.name}_{index:05d}.{suffix}"
    (folder / name).write_bytes(data)
    return {"image": name, "alttext": alttext(rng, scene), split.writer: WRITERS[split.writer](rng, scene)}


def make_split(split: Split, folder: Path, report: Callable[[str], None] = print) -> Path:
    """Makes the split's pictures and its table (written last) under `folder`; a complete one is left alone.

    Returns:
        The path of the table.
    """
    table = folder / "table.csv"
    if table.exists():
        report(f"{split.name}: {split.pictures} pictures are there")
        return table
    (folder / "images").mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        rows = list(pool.map(partial(make_picture, split, folder), range(split.pictures), chunksize=50))
    _write_table(table, rows)
    report(f"{split.name}: {split.pictures} pictures made")
    return table


def _write_table(path: Path, rows: list[Row]) -> None:
    temporary = path.with_suffix(".tmp")
    with temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    temporary.replace(path)


def main() -> None:
    """Makes both splits."""
    parser = argparse.ArgumentParser(prog="python -m demo.corpus", description=__doc__)
    parser.add_argument("folder", type=Path, help="where to put it, e.g. out/demo/corpus")
    folder: Path = parser.parse_args().folder
    for split in (TRAIN, TEST):
        make_split(split, folder / split.name)


if __name__ == "__main__":
    main()
