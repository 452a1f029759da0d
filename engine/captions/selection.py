"""Captions and samples left out by their scores, each with a code, while a source is read."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from engine.errors import UserError
from engine.nearest import nearest
from engine.records import Caption, DroppedCaption, Record, Reject
from engine.sources import Source, Unit
from engine.sources.assemble import no_caption

ALL = ""
"""Stands for all sources together where a rule may name one."""
LOW, UNKNOWN, NOT_TOP = "caption_low_score", "caption_no_score", "caption_not_top"
SELECTION_CODES = (LOW, UNKNOWN, NOT_TOP)


@dataclass(frozen=True)
class Selection:
    """What is kept; each rule by caption source, `ALL` for every source.

    Attributes:
        min_score: captions with lower scores are left out; a source's own rule goes before that of `ALL`.
        keep_top: the best so many captions of the source stay; with `ALL`, of the sample.
        min_sample_score: samples whose best caption in the source scores lower are rejected.
        top_share: this share of the samples is kept: those with the highest best scores (in the ledgers).
    """

    min_score: Mapping[str, float] = field(default_factory=dict)
    keep_top: Mapping[str, int] = field(default_factory=dict)
    min_sample_score: Mapping[str, float] = field(default_factory=dict)
    top_share: Mapping[str, float] = field(default_factory=dict)

    def __bool__(self) -> bool:
        """Whether there is any rule."""
        return any((self.min_score, self.keep_top, self.min_sample_score, self.top_share))

    def rules(self) -> Iterator[tuple[str, str]]:
        """Option and source of every rule."""
        for option in ("min_score", "keep_top", "min_sample_score", "top_share"):
            for source in getattr(self, option):
                yield f"--{option.replace('_', '-')}", source


class SelectedSource(Source):
    """A source without what the rules leave out."""

    def __init__(self, inner: Source, selection: Selection, shares: Mapping[str, float]) -> None:
        """Keeps them.

        Args:
            inner: the samples with all their captions and scores.
            selection: the rules.
            shares: the score that a sample needs for each rule of `top_share`.

        Raises:
            UserError: a rule names a source that is not there.
        """
        for option, name in selection.rules():
            if name not in (ALL, *inner.caption_sources):
                known = ", ".join(inner.caption_sources)
                raise UserError(
                    f"{option} {name}: no such caption source; there are {known}"
                    f"{nearest(name, inner.caption_sources)}"
                )
        super().__init__(inner.assembler)
        self.format = inner.format
        self._inner, self._selection = inner, selection
        self._samples = [*selection.min_sample_score.items(), *shares.items()]

    @property
    def caption_sources(self) -> tuple[str, ...]:
        """Those of the samples."""
        return self._inner.caption_sources

    def units(self) -> list[Unit]:
        """Those of the samples."""
        return self._inner.units()

    def read(self, unit: Unit) -> Iterator[Record | Reject]:
        """The samples of a unit, every one of them: what is not kept comes out as a reject."""
        for item in self._inner.read(unit):
            yield item if isinstance(item, Reject) else self._select(item, unit.where)

    def _select(self, record: Record, where: str) -> Record | Reject:
        for source, least in self._samples:
            if problem := _too_low(record, source, least):
                return Reject(record.key, "select", *problem, where)
        kept, dropped = self._above(record)
        top = self._selection.keep_top
        for source in (*kept, ALL):
            if source in top:
                kept = _top(kept, source, top[source], dropped)
        if not any(kept.values()):
            error = no_caption(dropped)
            return Reject(record.key, "select", error.code, error.message, where)
        return replace(record, captions=kept, dropped=(*record.dropped, *dropped))

    def _above(self, record: Record) -> tuple[dict[str, tuple[Caption, ...]], list[DroppedCaption]]:
        """The captions that reach `min_score`."""
        rules = self._selection.min_score
        kept, dropped = {}, []
        for source, captions in record.captions.items():
            least = rules.get(source, rules.get(ALL, -math.inf))
            codes = [_fault(caption, least) for caption in captions]
            dropped += [DroppedCaption(source, code) for code in codes if code]
            kept[source] = tuple(c for c, code in zip(captions, codes, strict=True) if not code)
        return kept, dropped


def _fault(caption: Caption, least: float) -> str:
    if least == -math.inf:
        return ""
    if caption.score is None:
        return UNKNOWN
    return LOW if _below(caption.score, least) else ""


def _below(score: float, least: float) -> bool:
    """As shards store them: 0.2 in a ledger is 0.2 on the command line, and not 3e-9 less."""
    return bool(np.float32(score) < np.float32(least))


def _too_low(record: Record, source: str, least: float) -> tuple[str, str] | None:
    """Code and message for a sample whose best score is under `least`, or not known."""
    looked_at = record.captions if source == ALL else {source: record.captions[source]}
    scores = [c.score for captions in looked_at.values() for c in captions if c.score is not None]
    name = source or "any source"
    if not scores:
        return "sample_no_score", f"no caption of {name} has a score"
    if _below(max(scores), least):
        return "sample_low_score", f"the best score of {name} is {max(scores):.4f}, under {least:.4f}"
    return None


def _top(
    captions: Mapping[str, tuple[Caption, ...]], source: str, count: int, dropped: list[DroppedCaption]
) -> dict[str, tuple[Caption, ...]]:
    """The best `count` captions of a source or of all, in their order; equal ones: the first."""
    within = list(captions) if source == ALL else [source]
    places = [(name, at) for name in within for at in range(len(captions[name]))]
    ranked = sorted(places, key=lambda place: -_rank(captions[place[0]][place[1]]))
    chosen = set(ranked[:count])
    dropped += [DroppedCaption(name, NOT_TOP) for name, _ in ranked[count:]]
    return {
        name: tuple(c for at, c in enumerate(own) if name not in within or (name, at) in chosen)
        for name, own in captions.items()
    }


def _rank(caption: Caption) -> float:
    return -math.inf if caption.score is None else caption.score
