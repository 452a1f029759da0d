"""Captions of ledgers meet their images by key, while a source is read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from engine.build.samples import content_hash
from engine.captions.index import CaptionIndex, IndexCounts, build_index, content_bits
from engine.captions.ledger import LEDGER_NAME, LedgerSource, open_sources
from engine.errors import UserError
from engine.native import hash_file
from engine.records import Caption, DroppedCaption, Record, Reject
from engine.sources import Source, Unit
from engine.sources.assemble import no_caption, reject

OTHER_IMAGE = "caption_other_image"


@dataclass(frozen=True)
class Coverage:
    """How the captions of one ledger source and the samples of a dataset meet.

    Attributes:
        matched: samples with a caption.
        missing: samples without one.
        extra: keys with a caption that are no sample.
        conflicting: keys with different captions in different ledgers; the last ledger's counts.
    """

    matched: int
    missing: int
    extra: int
    conflicting: int


class JoinedSource(Source):
    """A source whose records have the captions of ledgers besides their own."""

    def __init__(self, inner: Source, ledgers: Sequence[Path], folder: Path) -> None:
        """Reads what the ledgers hold; `build` must have run before records are read.

        Args:
            inner: the samples.
            ledgers: where two have a caption for a key, the later one counts.
            folder: for the lookup tables; every worker must see it.

        Raises:
            UserError: a ledger cannot be opened, or has a source that the samples have too.
        """
        super().__init__(inner.assembler)
        self.format = inner.format
        self._inner, self._folder = inner, folder
        self._ledgers = open_sources(ledgers)
        for name in set(self._ledgers) & set(inner.caption_sources):
            raise UserError(
                f"--captions: the input has captions named {name} too; give the input's other names "
                f"(--caption NAME=FIELD) or leave {name} out"
            )

    @property
    def caption_sources(self) -> tuple[str, ...]:
        """The samples' own sources, then those of the ledgers."""
        return (*self._inner.caption_sources, *self._ledgers)

    def units(self) -> list[Unit]:
        """Those of the samples."""
        return self._inner.units()

    def build(self) -> dict[str, IndexCounts]:
        """Writes the lookup tables; counts by ledger source."""
        return {name: build_index(folder, self._ledgers[name]) for name, folder in self._folders().items()}

    def describe(self) -> list[dict[str, Any]]:
        """What a build must have again to go on: every ledger source with the hash of its `ledger.json`."""
        return [_describe(source) for sources in self._ledgers.values() for source in sources]

    def read(self, unit: Unit) -> Iterator[Record | Reject]:
        """The samples of a unit; a caption that was made for another image of the same key is left out."""
        tables = {name: _index(folder) for name, folder in self._folders().items()}
        for item in self._inner.read(unit):
            yield item if isinstance(item, Reject) else _with_caption(_join(item, tables), unit)

    def _folders(self) -> dict[str, Path]:
        return {name: self._folder / str(at) for at, name in enumerate(self._ledgers)}


def coverage(
    counts: Mapping[str, IndexCounts], samples: int, samples_with: Mapping[str, int]
) -> dict[str, Coverage]:
    """Coverage by ledger source of a dataset with `samples`, of which `samples_with` have a caption."""
    return {name: _coverage(found, samples, samples_with.get(name, 0)) for name, found in counts.items()}


def _coverage(found: IndexCounts, samples: int, matched: int) -> Coverage:
    return Coverage(matched, samples - matched, found.keys - matched, found.conflicting)


def _with_caption(record: Record, unit: Unit) -> Record | Reject:
    """A sample that has a caption neither of its own nor in a ledger is a reject, as without ledgers."""
    if any(record.captions.values()):
        return record
    error = no_caption(record.dropped)
    return reject(record.key, error.code, error.message, unit.where)


def _join(record: Record, tables: Mapping[str, CaptionIndex]) -> Record:
    captions, dropped = dict(record.captions), list(record.dropped)
    bits = content_bits(content_hash(record.image))
    for name, table in tables.items():
        found = table.find([record.key])[0]
        if found is not None and found.content not in (0, bits):
            dropped.append(DroppedCaption(name, OTHER_IMAGE))
            found = None
        captions[name] = (Caption(found.text),) if found else ()
    return replace(record, captions=captions, dropped=tuple(dropped))


def _describe(source: LedgerSource) -> dict[str, Any]:
    file = source.folder / LEDGER_NAME
    return {"source": source.name, "rows": source.rows, "hash": hash_file(file, "xxh3_64")}


@lru_cache(maxsize=64)
def _index(folder: Path) -> CaptionIndex:
    return CaptionIndex(folder)
