"""Scores of ledgers meet captions by the hashes of image and text, while a source is read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from engine.build.samples import content_hash
from engine.captions.score_index import ScoreIndex, build_score_index
from engine.captions.scores import ScoreRun
from engine.errors import UserError
from engine.records import Caption, Record, Reject
from engine.sources import Source, Unit


class ScoredSource(Source):
    """A source whose captions have the scores of ledgers; a caption or image that changed since has none."""

    def __init__(self, inner: Source, runs: Sequence[ScoreRun], folder: Path) -> None:
        """Keeps them; `build` must have run before records are read.

        Args:
            inner: the samples with all their captions.
            runs: of one model.
            folder: for the lookup table; every worker must see it.

        Raises:
            UserError: the input has scores of its own, which would not compare.
        """
        if inner.assembler.scores:
            raise UserError(
                "--score: the ledgers have scores too, and those of two models do not compare; leave out "
                "--score, or use ledgers without scores"
            )
        super().__init__(inner.assembler)
        self.format = inner.format
        self._inner, self._runs, self._folder = inner, runs, folder

    @property
    def caption_sources(self) -> tuple[str, ...]:
        """Those of the samples."""
        return self._inner.caption_sources

    def units(self) -> list[Unit]:
        """Those of the samples."""
        return self._inner.units()

    def build(self) -> None:
        """Writes the lookup table."""
        build_score_index(self._folder, self._runs)

    def describe(self) -> list[dict[str, Any]]:
        """What a build must have again to go on: every run with the hash of its `scores.json`."""
        return [{"run": run.folder.name, "hash": run.hash, "scorer": dict(run.scorer)} for run in self._runs]

    def read(self, unit: Unit) -> Iterator[Record | Reject]:
        """The samples of a unit."""
        table = _index(self._folder)
        for item in self._inner.read(unit):
            yield item if isinstance(item, Reject) else _score(item, table)


def _score(record: Record, table: ScoreIndex) -> Record:
    texts = [caption.text for captions in record.captions.values() for caption in captions]
    scores = iter(table.find(content_hash(record.image), texts))
    captions = {
        source: tuple(Caption(caption.text, next(scores)) for caption in captions)
        for source, captions in record.captions.items()
    }
    return replace(record, captions=captions)


@lru_cache(maxsize=4)
def _index(folder: Path) -> ScoreIndex:
    return ScoreIndex(folder)
