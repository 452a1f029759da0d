"""Classes of a task or of a set: their names, their texts, and which of them a label means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.errors import UserError
from engine.nearest import nearest
from loaders.classes import sort_labels
from train.evaluate.sets.base import ImageSet
from train.evaluate.tasks import ClassName, Task, normalised
from train.heldout.prompts import SINGLE

# How many classes a message shows.
SHOWN = 5


@dataclass(frozen=True)
class Classes:
    """What an image can be.

    Attributes:
        names: in the texts, by number of the class.
        numbers: number by normalised label.
        templates: by variant, texts with {} for the name.
    """

    names: tuple[str, ...]
    numbers: Mapping[str, int]
    templates: Mapping[str, tuple[str, ...]]


def task_classes(task: Task, image_set: ImageSet, labels: Sequence[str]) -> Classes:
    """Return a registered task's classes, or those that the set has: its labels, as they are named there.

    Args:
        task: what is measured.
        image_set: for a task without classes of its own.
        labels: of the images read.

    Raises:
        UserError: classes that cannot be told apart, or as many names as the set does not have.
    """
    if task.classes:
        return Classes(tuple(c.name for c in task.classes), numbers(task.classes, task.name), task.templates)
    own = image_set.labels or sort_labels(set(labels))
    named = image_set.classnames or tuple(label.replace("_", " ") for label in own)
    if len(named) != len(own):
        raise UserError(
            f"{image_set.where}: {len(named)} class names, but {len(own)} classes; expected one for each"
        )
    templates = {"own": image_set.templates} if image_set.templates else {"single": (SINGLE,)}
    found = tuple(ClassName(name, (label,)) for name, label in zip(named, own, strict=True))
    return Classes(named, numbers(found, task.name, exact=True), templates)


def numbers(classes: Sequence[ClassName], name: str, exact: bool = False) -> dict[str, int]:
    """Return the number of each class by label.

    Args:
        classes: in order.
        name: of the task, for messages.
        exact: labels are taken as they are, since a set names its own classes in one way.

    Raises:
        UserError: two classes have one label.
    """
    table: dict[str, int] = {}
    for number, one in enumerate(classes):
        for label in one.labels:
            key = label if exact else normalised(label)
            if table.setdefault(key, number) != number:
                raise UserError(
                    f"{name}: label {label!r} is of {classes[table[key]].name!r} and {one.name!r}"
                )
    return table


def label_numbers(
    task: Task, image_set: ImageSet, classes: Classes, keys: Sequence[str], labels: Sequence[str]
) -> NDArray[np.int64]:
    """Return each image's class by number, int64 [N].

    Where a set names its classes (CLIP_benchmark's classnames.txt), a name that the task knows counts before
    the label: numbers are given in more than one order (Caltech-101 has VTAB's and torchvision's). A name
    that the task does not know counts by its place, in a set that has the task's order.

    Raises:
        UserError: a label that is no class of the task.
    """
    named = dict(zip(image_set.labels, image_set.classnames, strict=False)) if task.classes else {}
    known: dict[str, int] = {}
    for key, label in zip(keys, labels, strict=True):
        if label not in known:
            spellings = [normalised(s) for s in (named.get(label, label), label)] if task.classes else [label]
            found = [classes.numbers[s] for s in spellings if s in classes.numbers]
            number = found[0] if found else _by_place(label, image_set, classes)
            if number is None:
                raise UserError(_unknown(task, classes, label, key))
            known[label] = number
    return np.array([known[label] for label in labels], np.int64)


def _by_place(label: str, image_set: ImageSet, classes: Classes) -> int | None:
    """Return a label's place in a set of as many classes, most of them known and each in its place."""
    own = image_set.labels
    if label not in own or len(own) != len(classes.names):
        return None
    found = {
        at: classes.numbers[s] for at, one in enumerate(own) if (s := normalised(one)) in classes.numbers
    }
    in_order = all(at == number for at, number in found.items())
    return own.index(label) if in_order and 2 * len(found) > len(own) else None


def _unknown(task: Task, classes: Classes, label: str, key: str) -> str:
    shown = ", ".join(classes.names[:SHOWN])
    more = f" and {len(classes.names) - SHOWN:,} more" if len(classes.names) > SHOWN else ""
    hint = nearest(label, classes.names)
    return (
        f"{task.name}: image {key} has label {label!r}, which is none of its {len(classes.names):,} classes: "
        f"{shown}{more}{hint}; expected their names, or numbers 0 ... {len(classes.names) - 1}"
    )
