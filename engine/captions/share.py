"""The score that a share of the samples reaches: CLIP filtering as DataComp does it (keep the top 30 %)."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from engine.captions.parts import read_part
from engine.captions.score_index import ROW
from engine.captions.scores import ScoreRun
from engine.captions.selection import ALL
from engine.captions.tables import Rows, in_order, key_hash, same_as_next, sort_table
from engine.errors import UserError


def thresholds(runs: Sequence[ScoreRun], shares: Mapping[str, float]) -> dict[str, float]:
    """For each rule of `top_share` the score that this share of the ledgers' samples reaches.

    A sample counts with its best score in the source; every sample with that very score is kept.

    Raises:
        UserError: the ledgers have no score of the source.
    """
    return {source: _threshold(runs, source, share) for source, share in shares.items()}


def _threshold(runs: Sequence[ScoreRun], source: str, share: float) -> float:
    best = _best_scores(runs, source)
    if len(best) == 0:
        raise UserError(f"--top-share {source}: the ledgers given with --captions have no scores of it")
    kept = max(1, math.ceil(share * len(best) - 1e-9))  # 0.07 * 100 is a little more than 7
    return float(np.partition(best, len(best) - kept)[len(best) - kept])


def _best_scores(runs: Sequence[ScoreRun], source: str) -> NDArray[np.float32]:
    """The best score of every sample, four bytes each."""
    best: list[NDArray[np.float32]] = []

    def choose(rows: Rows) -> Rows:
        ordered = in_order(rows)
        first = np.append(True, ~same_as_next(ordered)) if len(ordered) else np.zeros(0, bool)
        if len(ordered):
            best.append(np.maximum.reduceat(ordered["score"], np.flatnonzero(first)))
        return ordered[:0]

    with tempfile.TemporaryDirectory() as folder:
        unsorted = Path(folder) / "unsorted.bin"
        with unsorted.open("wb") as file:
            for run in runs:
                for part in run.parts:
                    for rows in _rows(part, source):
                        file.write(rows)
        sort_table(Path(folder), unsorted, ROW, choose)
    return np.concatenate(best) if best else np.zeros(0, np.float32)


def _rows(part: Path, source: str) -> list[bytes]:
    found = []
    for batch in read_part(part, ("key", "source", "score")):
        known = pc.is_valid(batch.column("score"))
        if source != ALL:
            known = pc.and_(known, pc.equal(batch.column("source"), source))
        chosen = batch.filter(known)
        keys, scores = chosen.column("key").to_pylist(), chosen.column("score").to_pylist()
        rows = [(*key_hash(key), 0, score) for key, score in zip(keys, scores, strict=True)]
        found.append(np.array(rows, ROW).tobytes())
    return found
