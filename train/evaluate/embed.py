"""Features of a whole set: in batches, by ranks, out of a cache where they are known."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.records import Reject
from train.evaluate.encoder import Features


@dataclass(frozen=True)
class EmbedOptions:
    """How a set is embedded.

    Attributes:
        batch_size: images a batch, the unit of work and of the cache; texts likewise.
        cache: folder of features by model and content; None keeps nothing.
        bad_images: how many may fail to be read or decoded before the set is given up.
    """

    batch_size: int = 256
    cache: Path | None = None
    bad_images: int = 0


@dataclass(frozen=True)
class Embedded:
    """A set as a model sees it, the same on every rank.

    Attributes:
        image: float32 [N, D], as the model gives them, in the set's order.
        keys: N.
        labels: N classes as the set names them; empty strings in sets of captions.
        texts: M captions in the set's order.
        image_of_text: int64 [M].
        source_of_text: M names of caption sources, where the set has several; else empty.
        rejects: images that are left out, and why.
    """

    image: Features
    keys: list[str]
    labels: list[str]
    texts: list[str]
    image_of_text: NDArray[np.int64]
    source_of_text: list[str]
    rejects: list[Reject]
