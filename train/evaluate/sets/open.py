"""Which layout a path has: the first that fits, of those that can hold what is wanted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from engine.errors import UserError
from engine.sources.detect import describe
from train.evaluate.sets.base import ImageSet
from train.evaluate.sets.beside import find_beside
from train.evaluate.sets.columns import find_columns
from train.evaluate.sets.files import find_class_folders, find_label_table, find_named_classes, find_numbered
from train.evaluate.sets.place import Place, look
from train.evaluate.sets.shards import find_shards
from train.evaluate.sets.tables import find_tables
from train.evaluate.sets.tars import find_tars
from train.evaluate.tasks import Kind, Task

LABELLED = (Kind.CLASSES, Kind.SAME_CLASS)
CAPTIONED = (Kind.RETRIEVAL,)
WANTED = {
    Kind.CLASSES: "images with classes", Kind.SAME_CLASS: "images with classes",
    Kind.RETRIEVAL: "images with captions",
}  # fmt: skip


@dataclass(frozen=True)
class Layout:
    """One layout: what it is, what it can hold, and who opens it."""

    what: str
    kinds: tuple[Kind, ...]
    find: Callable[[Place, Kind, Task], ImageSet | None]


# In the order in which they are tried: what is told by a file's name before what any folder could be.
LAYOUTS = (
    Layout("a data set of engine.shard", CAPTIONED, find_shards),
    Layout("webdataset tars as CLIP_benchmark's", LABELLED + CAPTIONED, find_tars),
    Layout("Hugging Face parquet or save_to_disk", LABELLED + CAPTIONED, find_columns),
    Layout("a .csv or .tsv with columns image and label", LABELLED, find_label_table),
    Layout(
        "a table of captions (COCO's, Karpathy's .json, Flickr's .token, .csv, .tsv, .jsonl) and its images",
        CAPTIONED,
        find_tables,
    ),
    Layout("images with a .txt beside each, one caption a line", CAPTIONED, find_beside),
    Layout("images named after the number of their class (17_name.jpg)", (Kind.SAME_CLASS,), find_numbered),
    Layout("images named after a class of the task (LABEL_name.jpg)", LABELLED, find_named_classes),
    Layout("class folders on a disk", LABELLED, find_class_folders),
)


def open_any(path: str, kind: Kind, task: Task) -> ImageSet:
    """What `train.evaluate.sets.open_set` does."""
    place = look(path)
    found = first_that_fits(place, kind, task)
    if found is not None:
        return found
    fitting = [layout.what for layout in LAYOUTS if kind in layout.kinds]
    holds = other_kind(place, kind, task)
    what = holds or ("a file of another kind" if place.entries is None else describe(list(place.entries)))
    raise UserError(
        f"{path}: no {WANTED[kind]}, which {task.name} needs; found {what}; expected {'; '.join(fitting)}"
    )


def first_that_fits(place: Place, kind: Kind, task: Task) -> ImageSet | None:
    """The set in the first layout that fits."""
    finds = (layout.find(place, kind, task) for layout in LAYOUTS if kind in layout.kinds)
    return next((found for found in finds if found is not None), None)


def other_kind(place: Place, kind: Kind, task: Task) -> str:
    """What a set of the other kind lies there in; "" where none does."""
    other = Kind.CLASSES if kind is Kind.RETRIEVAL else Kind.RETRIEVAL
    for layout in LAYOUTS:
        try:
            if other in layout.kinds and kind not in layout.kinds and layout.find(place, other, task):
                return f"{layout.what}: {WANTED[other]}"
        except UserError:
            continue
    return ""


def find_any_kind(path: str) -> Kind:
    """What `train.evaluate.sets.find_kind` does."""
    place = look(path)
    problems = []
    for kind in (Kind.RETRIEVAL, Kind.CLASSES):
        try:
            if first_that_fits(place, kind, Task(path, path, kind)) is not None:
                return kind
        except UserError as error:
            problems.append(str(error))
    if problems:
        raise UserError(problems[0])
    what = "a file of another kind" if place.entries is None else describe(list(place.entries))
    layouts = "; ".join(layout.what for layout in LAYOUTS)
    raise UserError(f"{path}: no known layout; found {what}; expected {layouts}")
