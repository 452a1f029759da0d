"""Scores of a ledger's captions for the page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc

from engine.captions.parts import read_part
from engine.captions.scores import ScoreRun, text_hash
from engine.page.model import PageCaption

_COLUMNS = ["key", "content_hash", "text_hash", "score"]


class PageScores:
    """The scores of some keys, by every model that has some; one pass over the runs."""

    def __init__(self, runs: Sequence[ScoreRun], keys: Iterable[str]) -> None:
        """Reads them."""
        self._models = sorted({str(run.scorer["id"]) for run in runs})
        self._found: dict[tuple[str, str], list[tuple[str, ScoreRun, float]]] = {}
        wanted = pa.array(list(keys), pa.string())
        for run in runs:
            for part in run.parts:
                for batch in read_part(part, _COLUMNS):
                    here = pc.and_(
                        pc.is_in(batch.column("key"), value_set=wanted), pc.is_valid(batch.column("score"))
                    )
                    for row in batch.filter(here).to_pylist():
                        entry = (row["content_hash"], run, row["score"])
                        self._found.setdefault((row["key"], row["text_hash"]), []).append(entry)

    def add(self, key: str, content_hash: str, caption: PageCaption) -> PageCaption:
        """The caption with its scores; `content_hash` is that of its image, empty if unknown.

        With one model it is the caption's score; with several, each is among the details by its model.
        """
        found = [
            (run, score)
            for image, run, score in self._found.get((key, text_hash(caption.text)), ())
            if content_hash in ("", image)
        ]
        if not found:
            return caption
        if len(self._models) == 1:
            return replace(caption, score=found[-1][1])
        named = {f"score by {run.scorer['model']}": f"{score:.4f}" for run, score in found}
        return replace(caption, details={**caption.details, **named})
