"""What went most wrong: queries whose own item stands furthest back, classes taken for each other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]


def furthest(place: Integers, count: int) -> list[int]:
    """Queries with the largest places, largest first; equal ones in their order.

    Args:
        place: int64 [N], what stands before a query's own item; 0: it was found, -1: it has none.
        count: how many at most.
    """
    order = np.argsort(-place, kind="stable")[:count]
    return [int(query) for query in order if place[query] > 0]


@dataclass(frozen=True)
class Confusion:
    """Images of one class that were taken for another one.

    Attributes:
        label: their class.
        taken_for: what was found.
        count: how many there are.
        images: of the class in all.
        examples: int64, the first of them.
    """

    label: int
    taken_for: int
    count: int
    images: int
    examples: Integers


def confusions(label: Integers, found: Integers, count: int, examples: int) -> tuple[list[Confusion], int]:
    """Pairs of classes by how many images of the first were taken for the second, most first.

    Equal ones by their share of the class, then in the order of the classes.

    Args:
        label: int64 [N], the class of each image.
        found: int64 [N], the class that was found.
        count: pairs at most.
        examples: images of a pair at most.

    Returns:
        The pairs, and how many there are in all.
    """
    wrong = np.flatnonzero(label != found)
    pairs, counts = np.unique(np.stack([label[wrong], found[wrong]], 1), axis=0, return_counts=True)
    if not len(pairs):
        return [], 0
    images = np.bincount(label)[pairs[:, 0]]
    order = np.lexsort((pairs[:, 1], pairs[:, 0], images, -counts))[:count]
    chosen = [
        Confusion(
            int(a), int(b), int(counts[at]), int(images[at]),
            np.flatnonzero((label == a) & (found == b))[:examples],
        )
        for at, (a, b) in ((at, pairs[at]) for at in order)
    ]  # fmt: skip
    return chosen, len(pairs)


@dataclass(frozen=True)
class WeakClass:
    """A class of which few images were found. `taken_for` is what its other images were found as most often.

    Attributes:
        label: the class.
        right: images found.
        images: images of the class.
        taken_for: another class.
        count: how many images were.
    """

    label: int
    right: int
    images: int
    taken_for: int
    count: int


def weakest(label: Integers, found: Integers, count: int) -> list[WeakClass]:
    """Classes by their recall, lowest first, without those of which every image was found.

    Equal ones: more images first, then in their order.
    """
    images = np.bincount(label)
    right = np.bincount(label[label == found], minlength=len(images))
    recall = right / np.maximum(images, 1)
    order = np.lexsort((-images, recall))
    chosen = [int(c) for c in order if right[c] < images[c]][:count]
    return [_weak(c, found[label == c], int(right[c])) for c in chosen]


def _weak(label: int, found: Integers, right: int) -> WeakClass:
    others = np.bincount(found[found != label])
    taken_for = int(others.argmax())
    return WeakClass(label, right, len(found), taken_for, int(others[taken_for]))
