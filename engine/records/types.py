"""What flows through the engine: one image with its captions, or the reason why there is none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Caption:
    """One caption; `score` is its CLIP similarity to the image, `None` if unknown."""

    text: str
    score: float | None = None


@dataclass(frozen=True)
class DroppedCaption:
    """A caption that was left out (or cut) on the way in: which source it was for, and why."""

    source: str
    code: str


@dataclass(frozen=True)
class Record:
    """One sample: its key, the image file's bytes, and the captions of each source.

    `captions` has an entry for every source of the dataset, possibly empty; one of them is not.
    `dropped` names captions that did not pass `engine.records.clean_caption`.
    """

    key: str
    image: bytes
    captions: Mapping[str, tuple[Caption, ...]]
    dropped: tuple[DroppedCaption, ...] = ()


@dataclass(frozen=True)
class Reject:
    """One sample that did not make it: a row of `rejects.parquet`.

    `stage` is the room that refused it (`source`, `image`, `pack`), `code` a key of `REJECT_CODES` or a
    native status in lower case, `where` the file and member or row it came from.
    """

    key: str
    stage: str
    code: str
    message: str
    where: str
