"""Labelled images, from class folders or a table, in a fixed order: what zero-shot is measured on."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

import numpy as np
import torch
from numpy.typing import NDArray

from engine.errors import UserError
from engine.native import Status, ThreadPool, eval_batch, status_sentence
from engine.nearest import nearest
from loaders.buffers import Buffers
from loaders.images import KEPT_BATCHES, ImageOptions, as_numpy, empty_images
from loaders.threads import default_threads

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}
TABLES = {".csv": ",", ".tsv": "\t"}
COLUMNS = ("image", "label")


class ClassBatch(TypedDict):
    """image: [B, 3, S, S]; label: int64 [B], number of the class in the set's `labels`."""

    image: torch.Tensor
    label: torch.Tensor


@dataclass(frozen=True)
class ClassSet:
    """Labelled image files.

    Attributes:
        files: in the order of the set.
        label_of_file: int64 [files], index into `labels`.
        labels: names of the folders, or what the table says; sorted (numbers by number), unless given.
    """

    files: tuple[Path, ...]
    label_of_file: NDArray[np.int64]
    labels: tuple[str, ...]


def open_classes(path: str | Path, labels: Sequence[str] = ()) -> ClassSet:
    """Find the images of a folder of class folders, or of a table (.csv, .tsv) with columns image and label.

    Args:
        path: images in a class folder may lie deeper; a table's are named from where the table lies.
        labels: of the classes in the order wanted, images or not; empty: those found, sorted
            (numbers by number).

    Raises:
        UserError: nothing there, or an image of a class that `labels` has not.
    """
    where = Path(path)
    rows = _read_table(where) if where.suffix in TABLES and where.is_file() else _read_folders(where)
    if not rows:
        raise UserError(f"{where}: no images; expected CLASS/IMAGE with {', '.join(sorted(SUFFIXES))}")
    ordered = tuple(labels) or sort_labels({label for _, label in rows})
    number = {label: at for at, label in enumerate(ordered)}
    for file, label in rows:
        if label not in number:
            raise UserError(f"{file}: class {label!r} is not among the classes{nearest(label, ordered)}")
    found = np.array([number[label] for _, label in rows], np.int64)
    return ClassSet(tuple(file for file, _ in rows), found, ordered)


def sort_labels(labels: set[str]) -> tuple[str, ...]:
    """By name; labels that are all numbers by number, as ImageNetV2's folders 0 ... 999."""
    numbers = all(label.isdecimal() for label in labels)
    return tuple(sorted(labels, key=int) if numbers else sorted(labels))


def _read_folders(where: Path) -> list[tuple[Path, str]]:
    if not where.is_dir():
        expected = "a folder of class folders, or a .csv or .tsv with columns image, label"
        raise UserError(f"{where}: not found; expected {expected}")
    return [
        (file, folder.name)
        for folder in sorted(p for p in where.iterdir() if p.is_dir() and not _is_hidden(p))
        for file in sorted(folder.rglob("*"))
        if file.suffix.lower() in SUFFIXES and not _is_hidden(file)
    ]


def _is_hidden(path: Path) -> bool:
    """Files and folders that are nobody's data; `__MACOSX` is what macOS adds to archives."""
    return path.name.startswith(".") or path.name == "__MACOSX"


def _read_table(where: Path) -> list[tuple[Path, str]]:
    with where.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file, delimiter=TABLES[where.suffix])
        try:
            missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
            if missing:
                given = ", ".join(reader.fieldnames or ()) or "nothing"
                raise UserError(f"{where}: no column {missing[0]}; expected image and label, found {given}")
            rows = [(row["image"], row["label"], reader.line_num) for row in reader]
        except (csv.Error, UnicodeDecodeError) as error:
            raise UserError(f"{where}: cannot be read as a table: {error}") from error
    for image, label, line in rows:
        if not image or not label:
            raise UserError(f"{where}, line {line}: no {'label' if image else 'image'}; expected both")
    return [(where.parent / image, label) for image, label, _ in rows]


class ClassLoader:
    """Iterates over every `ranks`-th image from `rank` on; each iteration is the same."""

    def __init__(
        self, found: ClassSet, image: ImageOptions, batch_size: int, rank: int = 0, ranks: int = 1
    ) -> None:
        """Read nothing yet."""
        self._set, self._image, self._batch_size = found, image, batch_size
        self._numbers = np.arange(rank, len(found.files), ranks)
        self._pool = ThreadPool(default_threads(0))
        self._buffers = Buffers(KEPT_BATCHES)

    def __iter__(self) -> Iterator[ClassBatch]:
        """Yield the batches, evaluation transform; the last one may be smaller.

        Raises:
            UserError: a file cannot be read or is no image that decodes.
        """
        for first in range(0, len(self._numbers), self._batch_size):
            yield self._batch(self._numbers[first : first + self._batch_size])

    def _batch(self, numbers: NDArray[np.int64]) -> ClassBatch:
        files = [self._set.files[i] for i in numbers]
        image = empty_images(len(files), self._image, self._buffers)
        data = [_read(file) for file in files]
        status = eval_batch(data, as_numpy(image, self._image), self._pool, **self._image.native())
        for file, code in zip(files, status.tolist(), strict=True):
            if code:
                raise UserError(f"{file}: does not decode: {status_sentence(Status(code))}")
        return ClassBatch(image=image, label=torch.from_numpy(self._set.label_of_file[numbers]))


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise UserError(f"{file}: cannot be read ({error.strerror})") from error
