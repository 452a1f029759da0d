"""Samples as a model sees them: read, decoded and tokenised ahead of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from engine.build.batches import batches
from engine.build.samples import content_hash
from engine.captions.scores import text_hash
from engine.native import Limits, Status, ThreadPool, status_sentence
from engine.records import Record, Reject, native_code
from engine.scoring.job import Job
from engine.scoring.scorer import Scorer
from engine.scoring.tokens import Tokens
from engine.sources import Unit


@dataclass(frozen=True)
class Text:
    """One caption of an image of a batch: `image` and `text` are rows of the batch's arrays."""

    source: str
    digest: str
    image: int
    text: int


@dataclass(frozen=True)
class Batch:
    """What the model gets of a batch, and what to say of it.

    Attributes:
        items: samples and rejects in input order: a sample is its key, content hash and captions.
        pixels: float32 `[N, 3, S, S]`, an image each.
        tokens: of M different texts; None where there are none.
        bytes_in: of the image files that were read.
        dropped: captions that were left out on the way in, by code.
    """

    items: list[Sample | Reject]
    pixels: NDArray[np.float32]
    tokens: Tokens | None
    bytes_in: int
    dropped: dict[str, int]


@dataclass(frozen=True)
class Sample:
    """One sample whose image was decoded."""

    key: str
    content_hash: str
    texts: tuple[Text, ...]


def feed(job: Job, unit: Unit, scorer: Scorer) -> Iterator[Batch]:
    """The batches of a unit; the same ones however the run is spread over workers."""
    for batch in batches(job.samples.read(unit)):
        yield _Builder(job, unit, scorer).build(batch)


class _Builder:
    def __init__(self, job: Job, unit: Unit, scorer: Scorer) -> None:
        self._job, self._unit, self._scorer = job, unit, scorer
        self._texts: dict[str, int] = {}
        self._hashes: list[str] = []
        self._dropped: dict[str, int] = {}

    def build(self, batch: Sequence[Record | Reject]) -> Batch:
        records = [item for item in batch if isinstance(item, Record)]
        images = [record.image for record in records]
        limits = Limits(max_bytes=self._job.max_image_bytes)
        pixels, statuses = self._scorer.transform.apply(images, _pool(self._job.threads), limits)
        good = statuses == Status.OK
        rows = iter(np.cumsum(good) - 1)
        known = iter(zip(statuses.tolist(), rows, strict=True))
        items = [item if isinstance(item, Reject) else self._item(item, *next(known)) for item in batch]
        tokens = self._scorer.reader(list(self._texts)) if self._texts else None
        return Batch(items, pixels[good], tokens, sum(map(len, images)), self._dropped)

    def _item(self, record: Record, status: int, row: int) -> Sample | Reject:
        where = self._unit.where
        if status != Status.OK:
            failed = Status(status)
            return Reject(record.key, "image", native_code(failed.name), status_sentence(failed), where)
        for drop in record.dropped:
            self._dropped[drop.code] = self._dropped.get(drop.code, 0) + 1
        texts = tuple(
            self._text(source, caption.text, int(row))
            for source in self._job.sources
            for caption in record.captions[source]
        )
        if not texts:
            wanted = ", ".join(self._job.sources)
            return Reject(record.key, "score", "no_caption", f"no caption in {wanted}", where)
        return Sample(record.key, content_hash(record.image), texts)

    def _text(self, source: str, text: str, image: int) -> Text:
        at = self._texts.setdefault(text, len(self._texts))
        if at == len(self._hashes):
            self._hashes.append(text_hash(text))
        return Text(source, self._hashes[at], image, at)


@lru_cache(maxsize=1)
def _pool(threads: int) -> ThreadPool:
    return ThreadPool(threads)
