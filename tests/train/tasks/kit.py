"""Features and sets that are what the test says."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from engine.records import Reject
from engine.sources import Unit
from train.evaluate.embed import Embedded
from train.evaluate.sets.base import ImageSet, Item


class NamedSet(ImageSet):
    """A set that is all names; its images are given as features."""

    def __init__(
        self, labels: Sequence[str] = (), classnames: Sequence[str] = (), templates: Sequence[str] = ()
    ) -> None:
        self.where = "somewhere"
        self.labels, self.classnames, self.templates = tuple(labels), tuple(classnames), tuple(templates)

    def units(self) -> list[Unit]:
        return []

    def read(self, unit: Unit) -> Iterator[Item | Reject]:
        return iter(())


def of_classes(image: NDArray[np.float32], labels: Sequence[str]) -> Embedded:
    keys = [f"image {at}" for at in range(len(image))]
    return Embedded(image, keys, list(labels), [], np.empty(0, np.int64), [], [])


def of_captions(image: NDArray[np.float32], owner: Sequence[int], sources: Sequence[str] = ()) -> Embedded:
    keys = [f"image {at}" for at in range(len(image))]
    texts = [f"text {at}" for at in range(len(owner))]
    return Embedded(image, keys, [""] * len(image), texts, np.array(owner, np.int64), list(sources), [])


class Texts:
    """Encodes texts to features that are drawn once for each text."""

    def __init__(self, width: int) -> None:
        self.known: dict[str, NDArray[np.float32]] = {}
        self._draw, self._width = np.random.default_rng(0), width

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        for text in texts:
            if text not in self.known:
                self.known[text] = self._draw.normal(size=self._width).astype(np.float32)
        return np.stack([self.known[text] for text in texts])
