"""Image files one by one: class folders, tables of labels, classes in file names."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from engine.errors import UserError
from engine.records import Reject
from engine.sources import Unit
from engine.sources.assemble import SampleError, reject
from engine.sources.images import read_file
from engine.sources.options import MAX_IMAGE_BYTES
from engine.sources.storage import is_url
from loaders.classes import COLUMNS, SUFFIXES, TABLES, open_classes, sort_labels
from train.evaluate.sets.base import ImageSet, Item, readable
from train.evaluate.sets.place import UNIT_IMAGES, Place, held_out, is_split, look, split_files
from train.evaluate.tasks import Kind, Task

_GPR_NAME = re.compile(r"(?P<number>\d+)_.*", re.DOTALL)


class FileSet(ImageSet):
    """Files with a label each, in a given order."""

    def __init__(self, where: str, files: Sequence[tuple[str, str]], labels: tuple[str, ...]) -> None:
        """`files` are pairs of path and label; keys are paths from `where` on, or from its folder."""
        self.where = where
        self.labels = labels
        self.images = len(files)
        root = where if os.path.isdir(where) else os.path.dirname(where)
        self._files = [(os.path.relpath(path, root), path, label) for path, label in files]

    def units(self) -> list[Unit]:
        """Runs of files."""
        starts = range(0, len(self._files), UNIT_IMAGES)
        ends = [min(start + UNIT_IMAGES, len(self._files)) for start in starts]
        spans = zip(starts, ends, strict=True)
        return [Unit(f"[{start}:{end}]", self.where, (start, end)) for start, end in spans]

    def read(self, unit: Unit) -> Iterator[Item | Reject]:
        """File by file."""
        for key, path, label in self._files[slice(*unit.payload)]:
            try:
                yield Item(key, read_file(path, key, MAX_IMAGE_BYTES), label)
            except SampleError as error:
                yield reject(key, error.code, error.message, path)

    def pictures(self, keys: Collection[str]) -> dict[str, bytes]:
        """Reads these files alone."""
        wanted = set(keys)
        paths = {key: path for key, path, _ in self._files if key in wanted}
        return readable(paths, lambda key: read_file(paths[key], key, MAX_IMAGE_BYTES))


def find_class_folders(place: Place, kind: Kind, task: Task) -> ImageSet | None:
    """CLASS/IMAGE, images may lie deeper; of train/, val/, test/ the held-out one's."""
    folders = place.folders
    if folders and all(is_split(folder.name) for folder in folders):
        wanted = held_out(place.path, [folder.name for folder in folders])
        place = look(next(folder.path for folder in folders if folder.name == wanted))
    found = [folder.path for folder in place.folders if has_images(folder.path)]
    if len(found) == 1:  # not one class, but a folder around the classes: dtd/images, beside dtd/labels
        return find_class_folders(look(found[0]), kind, task)
    return class_set(place.path) if found else None


def find_label_table(place: Place, kind: Kind, task: Task) -> ImageSet | None:
    """A .csv or .tsv with columns image and label, or a folder with one."""
    if place.entries is None:
        return class_set(place.path) if names_labels(place.path) else None
    tables = split_files(place.path, [entry.path for entry in place.files if names_labels(entry.path)])
    if len(tables) > 1:
        raise UserError(f"{place.path}: several tables of labels; give one of {', '.join(tables)}")
    return class_set(tables[0]) if tables else None


def find_named_classes(place: Place, kind: Kind, task: Task) -> ImageSet | None:
    """Images whose names begin with a label of the task and `_`: `n01440764_tench.JPEG`."""
    known = {label for one in task.classes for label in one.labels}
    files = [(path, os.path.basename(path).split("_")[0]) for path in flat_images(place)]
    if not files or not all(label in known for _, label in files):
        return None
    return FileSet(place.path, files, sort_labels({label for _, label in files}))


def find_numbered(place: Place, kind: Kind, task: Task) -> ImageSet | None:
    """GPR1200's folder: the number before `_` is the class, and files are ordered by it as its code does.

    Of equal numbers its order is the file system's; here it is the names'.
    """
    paths = flat_images(place)
    matches = [(_GPR_NAME.fullmatch(os.path.basename(path)), path) for path in paths]
    if not any(match for match, _ in matches):
        return None
    files = []
    for match, path in matches:
        if match is None:
            raise UserError(f"{path}: expected a name that begins with its class's number, as 17_name.jpg")
        files.append((int(match["number"]), match["number"], path))
    ordered = [(path, label) for _, label, path in sorted(files, key=lambda file: (file[0], file[2]))]
    return FileSet(place.path, ordered, sort_labels({label for _, label in ordered}))


def class_set(path: str) -> FileSet:
    """Class folders or a table, as `loaders.classes` reads them."""
    found = open_classes(path)
    labels = (found.labels[number] for number in found.label_of_file)
    files = [(str(file), label) for file, label in zip(found.files, labels, strict=True)]
    return FileSet(path, files, found.labels)


def has_images(folder: str) -> bool:
    """Whether there is an image in a folder, at any depth."""
    return any(is_image(name) for _, _, names in os.walk(folder) for name in names)


def is_image(name: str) -> bool:
    """Whether a file's name is an image's."""
    return os.path.splitext(name)[1].lower() in SUFFIXES and not name.startswith(".")


def flat_images(place: Place) -> list[str]:
    """Images in a local folder itself, or in the only folder in it."""
    if is_url(place.path):
        return []
    if not any(is_image(entry.name) for entry in place.files) and len(place.folders) == 1:
        place = look(place.folders[0].path)
    return [entry.path for entry in place.files if is_image(entry.name)]


def names_labels(path: str) -> bool:
    """Whether a table's first line names an image and a label column."""
    delimiter = TABLES.get(Path(path).suffix)
    if delimiter is None or not os.path.isfile(path):
        return False
    with open(path, encoding="utf-8-sig", errors="replace") as file:
        names = [name.strip().strip('"') for name in file.readline(1 << 16).split(delimiter)]
    return set(COLUMNS) <= set(names)
