"""Rows of caption ledgers for the page: alone, or joined to the samples of a dataset by key."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from engine.captions.ledger import LedgerSource
from engine.captions.parts import read_part
from engine.captions.scores import ScoreRun
from engine.page.model import PageCaption, PageSample
from engine.page.scores import PageScores

Found = Mapping[str, Sequence[PageCaption]]


def ledger_keys(sources: Sequence[LedgerSource]) -> list[str]:
    """Keys of all samples with a row, each once: those of the first source, then what the others add."""
    keys: dict[str, None] = {}
    for source in sources:
        for part in source.parts:
            for batch in read_part(part, ["key"]):
                keys.update(dict.fromkeys(batch.column("key").to_pylist()))
    return list(keys)


def find_captions(
    sources: Sequence[LedgerSource], runs: Sequence[ScoreRun], keys: Iterable[str]
) -> dict[str, list[PageCaption]]:
    """Captions of these keys in all sources, with their scores; one pass over the ledger."""
    wanted = pa.array(list(keys), pa.string())
    scores = PageScores(runs, wanted.to_pylist())
    found: dict[str, list[PageCaption]] = {key: [] for key in wanted.to_pylist()}
    for source in sources:
        for part in source.parts:
            for batch in read_part(part):
                for row in batch.filter(pc.is_in(batch.column("key"), value_set=wanted)).to_pylist():
                    scored = scores.add(row["key"], row["content_hash"], _caption(row))
                    found[row["key"]].append(scored)
    return found


def ledger_samples(keys: Iterable[str], found: Found) -> Iterator[PageSample]:
    """Samples without images, in the order of `keys`."""
    for key in keys:
        yield PageSample(key, "ledger", None, tuple(found[key]))


def with_ledger(samples: Iterable[PageSample], found: Found) -> Iterator[PageSample]:
    """Samples with the ledger's captions beside their own; an equal caption of a source is shown once."""
    for sample in samples:
        yield replace(sample, captions=_merged(sample.captions, found.get(sample.key, ())))


def _merged(own: Sequence[PageCaption], added: Sequence[PageCaption]) -> tuple[PageCaption, ...]:
    rows = {(caption.source, caption.text): caption for caption in added}
    merged = []
    for caption in own:
        row = rows.pop((caption.source, caption.text), None)
        if row:
            score = row.score if caption.score is None else caption.score
            row = replace(row, tokens=caption.tokens, score=score)
        merged.append(row or caption)
    return (*merged, *rows.values())


def _caption(row: Mapping[str, Any]) -> PageCaption:
    details = {
        "model": " ".join(filter(None, (row["model"], row["revision"]))),
        "template": " ".join(filter(None, (row["template"], row["template_hash"][:8]))),
        "prompt": " ".join(filter(None, (row["prompt"], row["prompt_hash"][:8]))),
        "sampling": row["sampling"],
        "seed": str(row["seed"]),
        "finish reason": row["finish_reason"],
        "attempts": str(row["attempts"]),
        "tokens": f"{row['prompt_tokens']} in, {row['completion_tokens']} out",
        "AltText": "cut" if row["alttext_cut"] else "",
    }
    shown = {name: value for name, value in details.items() if value}
    return PageCaption(row["source"], row["text"] or "", None, None, row["status"], row["fallback"], shown)
