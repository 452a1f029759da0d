"""Samples ready to be asked about, read and decoded ahead in threads."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from itertools import islice

from engine import native
from engine.build.batches import batches
from engine.build.dedup import KeySet
from engine.build.job import Task
from engine.build.samples import content_hash
from engine.captions.index import CaptionIndex, content_bits
from engine.native import Status, status_sentence
from engine.recap.earlier import duplicate, keys_of_earlier_units
from engine.recap.job import Job
from engine.recap.options import RecaptionOptions
from engine.recap.steps import Sample
from engine.records import Caption, Record, Reject, native_code

Item = Sample | Reject
BATCHES_AHEAD = 2
JPEG_QUALITY = 95  # the model sees what was encoded twice


class Feed:
    """The samples of one unit, in input order; every item of the source comes out as one sample or reject."""

    def __init__(self, job: Job, task: Task) -> None:
        """Nothing is read before the samples are asked for."""
        self._job, self._task = job, task
        self._keys = KeySet()
        self._earlier = keys_of_earlier_units(job.out, task)
        self._vec = CaptionIndex(job.vec_index) if job.vec_index else None
        self.bytes_in = 0

    @property
    def keys(self) -> KeySet:
        """Hashes of the keys that came out as samples."""
        return self._keys

    async def batches(self) -> AsyncIterator[list[Item]]:
        """Batches, some of them prepared ahead of the one that is being asked about."""
        loop = asyncio.get_running_loop()
        read = self._read()
        with ThreadPoolExecutor(1, "feed") as thread:
            ahead: asyncio.Queue[list[Item] | None] = asyncio.Queue(BATCHES_AHEAD)

            async def fill() -> None:
                while (batch := await loop.run_in_executor(thread, next, read, None)) is not None:
                    await ahead.put(batch)
                await ahead.put(None)

            filling = asyncio.create_task(fill())
            try:
                while (batch := await _next(ahead, filling)) is not None:
                    yield batch
            finally:
                filling.cancel()

    def _read(self) -> Iterator[list[Item]]:
        for batch in batches(islice(self._job.samples.read(self._task.unit), self._job.limit)):
            yield self._prepare(batch)

    def _prepare(self, batch: list[Record | Reject]) -> list[Item]:
        records = [item for item in batch if isinstance(item, Record)]
        self.bytes_in += sum(len(record.image) for record in records)
        images, statuses = self._images(records)
        vecs = self._vec.find([record.key for record in records]) if self._vec else [None] * len(records)
        known = iter(zip(images, statuses, vecs, strict=True))
        return [item if isinstance(item, Reject) else self._item(item, *next(known)) for item in batch]

    def _images(self, records: list[Record]) -> tuple[list[bytes | None], list[int]]:
        options = self._job.options
        if options.stage.kind != "vec" or not records:
            return [b""] * len(records), [0] * len(records)
        images, statuses, _ = native.prepare_images(
            [record.image for record in records], _prepare_options(options), _pool(self._job.threads)
        )
        return images, statuses.tolist()

    def _item(self, record: Record, image: bytes | None, status: int, vec: object) -> Item:
        where = self._task.unit.where
        if image is None:
            failed = Status(status)
            return Reject(record.key, "image", native_code(failed.name), status_sentence(failed), where)
        key_hash = KeySet.hash_of(record.key)
        if key_hash in self._earlier:
            return duplicate(record.key, self._task)
        if not self._keys.add(key_hash):
            message = "a sample with this key came before in this unit"
            return Reject(record.key, "recaption", "duplicate_key", message, where)
        digest = content_hash(record.image)
        alttext = _best(record.captions.get(self._job.options.alttext, ()))
        return Sample(record.key, digest, image, alttext, self._vec_of(record, digest, vec))

    def _vec_of(self, record: Record, digest: str, found: object) -> str:
        """VeC from the ledgers if it is of the same image, otherwise what the source itself has."""
        from engine.captions.index import Found

        if isinstance(found, Found) and found.content in (0, content_bits(digest)):
            return found.text
        return _best(record.captions.get("vec", ()))


async def _next(ahead: asyncio.Queue[list[Item] | None], filling: asyncio.Task[None]) -> list[Item] | None:
    """The next batch, or the error that ended the reading."""
    getting = asyncio.create_task(ahead.get())
    await asyncio.wait((getting, filling), return_when=asyncio.FIRST_COMPLETED)
    if not getting.done() and filling.done() and filling.exception():
        getting.cancel()
        await filling
    return await getting


def _best(captions: tuple[Caption, ...]) -> str:
    """The caption with the highest CLIP score; the first where no scores are known."""
    scored = [caption for caption in captions if caption.score is not None]
    if scored:
        return max(scored, key=lambda caption: caption.score or 0.0).text
    return captions[0].text if captions else ""


def _prepare_options(options: RecaptionOptions) -> native.PrepareOptions:
    limits = native.Limits(max_bytes=options.source.max_image_bytes)
    return native.PrepareOptions(resize_shorter=options.image_px, quality=JPEG_QUALITY, limits=limits)


@lru_cache(maxsize=1)
def _pool(threads: int) -> native.ThreadPool:
    return native.ThreadPool(threads)
