"""What a task gives: figures, and enough to show what went wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.records import Reject
from train.evaluate.sets.base import ImageSet
from train.evaluate.tasks import Task


@dataclass(frozen=True)
class ClassDetail:
    """Attributes: keys, N; label int64 [N] and best int64 [N, <= 5], into names; of the first variant."""

    keys: list[str]
    names: tuple[str, ...]
    label: NDArray[np.int64]
    best: NDArray[np.int64]


@dataclass(frozen=True)
class RetrievalDetail:
    """What every query found.

    Attributes:
        keys: of N images.
        texts: M.
        image_of_text: int64 [M].
        text_place: int64 [M], how many images stand before a text's own.
        text_best: int64 [M, <= 5], the images that a text finds.
        image_place: int64 [N], how many texts stand before the best of an image's own; -1 without a text.
        image_best: int64 [N, <= 5], the texts that an image finds.
    """

    keys: list[str]
    texts: list[str]
    image_of_text: NDArray[np.int64]
    text_place: NDArray[np.int64]
    text_best: NDArray[np.int64]
    image_place: NDArray[np.int64]
    image_best: NDArray[np.int64]


@dataclass(frozen=True)
class TaskResult:
    """A task that was measured.

    Attributes:
        task: which.
        where: its data.
        metrics: fractions 0..1 by name, variant first: `single/top_1`, `image_to_text_r@1`, `map_official`.
        sizes: `images`, `texts`, `classes`.
        rejects: images that were left out.
        detail: for the report; None for GPR1200.
        pictures: to read images again.
        seconds: of all ranks together, embedding and scoring.
    """

    task: Task
    where: str
    metrics: Mapping[str, float]
    sizes: Mapping[str, int]
    rejects: tuple[Reject, ...]
    detail: ClassDetail | RetrievalDetail | None
    pictures: ImageSet
    seconds: float
