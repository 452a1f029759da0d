"""Packs one unit: a stream of records becomes a folder of shards, with bounded memory."""

from __future__ import annotations

from collections.abc import Iterator

from engine.build.batches import batches
from engine.build.dedup import KeySet, read_keys
from engine.build.images import image_format, prepare
from engine.build.job import Counts, Job, Task, add_counts
from engine.build.receipts import Contents, Receipt
from engine.build.rejects import RejectWriter
from engine.build.samples import Prepared, SampleEncoder, cached_tokenizer, columns_of, stored_scores
from engine.build.state import State, fresh_folder, worker_lock
from engine.captions.selection import SELECTION_CODES
from engine.native import Status, status_sentence
from engine.parquet_file import sync_folder
from engine.records import Record, Reject, counts_as_failure, native_code
from engine.shards.mds_writer import MdsWriter


def pack_unit(job: Job, task: Task) -> Iterator[Counts]:
    """Packs a unit from the beginning; yields the counts so far after every batch.

    The receipt is written last. Whatever an earlier attempt left is removed first.

    Raises:
        UserError, NativeError, OSError: the unit cannot be read or written; the unit has no receipt then.
    """
    with worker_lock(job.out):
        fresh_folder(job.out / task.folder)
        with RejectWriter(State(job.out).rejects_path(task)) as rejects:
            packer = UnitPacker(job, task, rejects)
            for batch in batches(job.source.read(task.unit)):
                packer.pack(batch)
                yield packer.counts.copy()
            packer.finish()
        packer.commit()
        yield packer.counts.copy()


class UnitPacker:
    """What is open and known while one unit is packed."""

    def __init__(self, job: Job, task: Task, rejects: RejectWriter) -> None:
        """Opens the writer and reads the keys to leave out."""
        self.counts = Counts()
        self._contents = Contents()
        self._steps: list[tuple[int, int]] = []
        self._job, self._task, self._rejects = job, task, rejects
        self._state = State(job.out)
        self._folder = job.out / task.folder
        pack = job.options.pack
        self._writer = MdsWriter(
            self._folder,
            columns_of(job.has_scores),
            size_limit=pack.size_limit,
            hashes=pack.hashes,
            compression=pack.compression,
        )
        self._accepted = KeySet()
        self._excluded = read_keys(self._state.excluded(task)) if task.dedupe else KeySet()
        tokenizer = cached_tokenizer(job.options.tokenizer, job.options.context_length)
        self._encoder = SampleEncoder(tuple(job.source.caption_sources), tokenizer, job.has_scores)

    def pack(self, batch: list[Record | Reject]) -> None:
        """Checks, encodes and writes one batch; everything in it is counted once."""
        self.counts.seen += len(batch)
        prepared = [sample for sample in self._prepare(batch) if self._is_first(sample.record)]
        if prepared:
            columns, tokens = self._encoder.encode(prepared)
            self._writer.write_batch(columns)
            self._count(prepared, tokens)
            if self._job.has_scores:
                self._count_scores(prepared)
        self._steps.append((self.counts.seen, self.counts.failures))

    def finish(self) -> None:
        """Writes the last shard and the accepted keys."""
        self._entries = self._writer.finish()
        if not self._entries:
            self._folder.rmdir()
        if not self._task.dedupe:
            self._accepted.commit(self._state.keys_path(self._task))
        sync_folder(self._job.out)

    def commit(self) -> None:
        """Writes the receipt: from now on the unit is packed."""
        receipt = Receipt(self.counts, self._contents, self._entries, self._steps)
        receipt.commit(self._state.receipt_path(self._task))

    def _prepare(self, batch: list[Record | Reject]) -> Iterator[Prepared]:
        records = []
        for item in batch:
            if isinstance(item, Reject):
                self._reject(item)
            else:
                records.append(item)
                self.counts.bytes_in += len(item.image)
        if not records:
            return
        images, statuses, sizes = prepare(
            [record.image for record in records], self._job.options, self._job.threads
        )
        for record, image, status, size in zip(
            records, images, statuses.tolist(), sizes.tolist(), strict=True
        ):
            if image is None:
                self._reject_image(record, Status(status))
            else:
                yield Prepared(record, image, size[0], size[1])

    def _is_first(self, record: Record) -> bool:
        """Whether the key is new; else counts a duplicate. Only samples whose image passed come here."""
        key = self._accepted.hash_of(record.key)
        if key not in self._excluded and self._accepted.add(key):
            return True
        self.counts.duplicates += 1
        message = "a sample with this key was kept from " + (
            "an earlier unit" if key in self._excluded else "this unit"
        )
        self._rejects.add(Reject(record.key, "pack", "duplicate_key", message, self._task.unit.where))
        return False

    def _reject_image(self, record: Record, status: Status) -> None:
        code, where = native_code(status.name), self._task.unit.where
        self._reject(Reject(record.key, "image", code, status_sentence(status), where))

    def _reject(self, reject: Reject) -> None:
        by_code = self.counts.rejected_by_code
        by_code[reject.code] = by_code.get(reject.code, 0) + 1
        self.counts.failures += counts_as_failure(reject.code)
        self._rejects.add(reject)

    def _count(self, samples: list[Prepared], tokens: int) -> None:
        contents, dropped = self._contents, self.counts.dropped_captions_by_code
        self.counts.out += len(samples)
        contents.tokens += tokens
        for sample in samples:
            contents.image_bytes += len(sample.image)
            name = image_format(sample.image)
            contents.formats[name] = contents.formats.get(name, 0) + 1
            for source, captions in sample.record.captions.items():
                contents.captions[source] = contents.captions.get(source, 0) + len(captions)
                contents.samples_with[source] = contents.samples_with.get(source, 0) + bool(captions)
            for drop in sample.record.dropped:
                dropped[drop.code] = dropped.get(drop.code, 0) + 1
            for source in {drop.source for drop in sample.record.dropped if drop.code in SELECTION_CODES}:
                add_counts(contents.emptied, {source: int(not sample.record.captions[source])})

    def _count_scores(self, samples: list[Prepared]) -> None:
        for sample in samples:
            for source, captions in sample.record.captions.items():
                self._contents.add_scores(source, stored_scores(captions).tolist())
