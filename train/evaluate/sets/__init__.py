"""Held-out sets in the layouts that they are handed around in, as one stream of images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from train.evaluate.sets.base import ImageSet
    from train.evaluate.tasks import Kind, Task


def open_set(path: str | Path, kind: Kind, task: Task) -> ImageSet:
    """Look at what lies there and open it; README.md names the layouts.

    Args:
        path: a file or folder; of tars, parquet and tables also an fsspec URL.
        kind: what the set has to hold: classes or captions.
        task: names the classes, where a layout has them in file names alone; its name stands in messages.

    Raises:
        UserError: nothing there, no known layout, the other kind, or a set that is not whole.
    """
    from train.evaluate.sets.open import open_any  # loads pyarrow and torch, which no --help needs

    return open_any(str(path), kind, task)


def find_kind(path: str | Path) -> Kind:
    """What a set holds that no task is known for: captions, else classes.

    Raises:
        UserError: no known layout.
    """
    from train.evaluate.sets.open import find_any_kind

    return find_any_kind(str(path))
