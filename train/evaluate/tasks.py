"""What is measured on which set: the protocol of each task."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum


class Kind(Enum):
    """How a task is scored."""

    CLASSES = "classes"
    RETRIEVAL = "retrieval"
    SAME_CLASS = "same_class"  # GPR1200: images by images


@dataclass(frozen=True)
class ClassName:
    """A class of a task: its name in texts, and what data sets call it."""

    name: str
    labels: tuple[str, ...]


@dataclass(frozen=True)
class Task:
    """One row of the tables.

    Attributes:
        name: as on the command line and in the metrics.
        title: for tables.
        kind: how it is scored.
        classes: in their order; empty: the set's own.
        templates: by variant (`single`, `ens80`, `clip`), texts with {} for the name; empty: the set's, or
            `single`.
        images: how many the protocol has; None: any.
        folders: names that the set's folder may have below --root.
        source: where to get it.
    """

    name: str
    title: str
    kind: Kind
    classes: tuple[ClassName, ...] = ()
    templates: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    images: int | None = None
    folders: tuple[str, ...] = ()
    source: str = ""


def normalised(label: str) -> str:
    """Return a label without case and punctuation: `Faces_easy` and `faces easy` are one."""
    bare = "".join(character for character in label.casefold() if character.isalnum())
    # A label of punctuation alone stays itself.
    return bare or label
