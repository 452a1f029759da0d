"""Scores in a ledger: how well each caption fits its image, as one CLIP model sees it.

    LEDGER/scores/NAME-1a2b3c4d/00000.parquet ...   rows of one work unit, in input order
    LEDGER/scores/NAME-1a2b3c4d/rejects.parquet     samples without rows
    LEDGER/scores/NAME-1a2b3c4d/scores.json         written last: without it the run is unfinished

A row belongs to exactly one image file and one text, by their hashes: whatever changes later has no score.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa

from engine.captions.parts import ROWS_PER_GROUP, check_parts, read_description
from engine.errors import UserError
from engine.native import hash_bytes, hash_file
from engine.parquet_file import RowWriter

SCORES_FOLDER = "scores"
SCORES_NAME = "scores.json"
SCORES_FORMAT = "veclip-scores/1"


@dataclass(frozen=True)
class ScoreRow:
    """The score of one caption.

    Attributes:
        key: of the sample.
        content_hash: xxh3_128 of the image file as it came from the source, hex.
        source: of the caption.
        text_hash: xxh3_128 of the caption in UTF-8, hex.
        scorer: `id` of the model with its transform, tokenizer and precision, see `scores.json`.
        score: cosine of image and text features, -1 to 1; None if `status` is not `ok`.
        status: `ok`, or `not_finite` where the model gave no number.
        tokens: of the whole caption, start and end included.
        cut: whether the model has read only the beginning of it.
    """

    key: str
    content_hash: str
    source: str
    text_hash: str
    scorer: str
    score: float | None
    status: str
    tokens: int
    cut: bool


_TYPES = {"score": pa.float32(), "tokens": pa.int32(), "cut": pa.bool_()}
SCHEMA = pa.schema([(name, _TYPES.get(name, pa.string())) for name in ScoreRow.__dataclass_fields__])


class ScoreWriter(RowWriter[ScoreRow]):
    """One part of a run of scores."""

    def __init__(self, path: Path) -> None:
        """Starts a temporary file beside `path`."""
        super().__init__(path, SCHEMA, ROWS_PER_GROUP, write_page_checksum=True)


@dataclass(frozen=True)
class ScoreRun:
    """One finished run: its folder, its parts in unit order, and what `scores.json` says."""

    folder: Path
    parts: tuple[Path, ...]
    metadata: Mapping[str, Any]

    @property
    def scorer(self) -> Mapping[str, Any]:
        """The model: `model`, `id`, `transform`, ..."""
        scorer: Mapping[str, Any] = self.metadata["scorer"]
        return scorer

    @cached_property
    def hash(self) -> str:
        """Of `scores.json`, which holds the hash of every part."""
        return hash_file(self.folder / SCORES_NAME, "xxh3_64")


def text_hash(text: str) -> str:
    """What `text_hash` holds."""
    return hash_bytes(text.encode(), "xxh3_128")


def has_scores(ledger: Path) -> bool:
    """Whether a ledger has a finished run of scores."""
    return any(ledger.glob(f"{SCORES_FOLDER}/*/{SCORES_NAME}"))


def open_scores(ledgers: Iterable[Path], scorer: str | None = None) -> list[ScoreRun]:
    """The runs of one model in several ledgers; ledgers keep their order, runs are sorted by name.

    Args:
        ledgers: their folders.
        scorer: name or `id` of the model, needed where there are scores of several.

    Raises:
        UserError: scores of several models, none of the one asked for, or a part is missing.
    """
    runs = all_scores(ledgers)
    if scorer is not None:
        chosen = [run for run in runs if scorer in (run.scorer["id"], run.scorer["model"])]
        if not chosen:
            raise UserError(f"--scorer {scorer}: the ledgers have scores of {_names(runs) or 'no model'}")
        runs = chosen
    if len({run.scorer["id"] for run in runs}) > 1:
        raise UserError(
            f"the ledgers have scores of several models, which do not compare: {_names(runs)}; choose one "
            "with --scorer"
        )
    return runs


def all_scores(ledgers: Iterable[Path]) -> list[ScoreRun]:
    """The runs of all models; see `open_scores`.

    Raises:
        UserError: a part is missing.
    """
    pattern = f"{SCORES_FOLDER}/*/{SCORES_NAME}"
    return [_open_run(path) for ledger in ledgers for path in sorted(ledger.glob(pattern))]


def _open_run(path: Path) -> ScoreRun:
    metadata = read_scores_json(path)
    return ScoreRun(path.parent, check_parts(path, metadata["parts"]), metadata)


def read_scores_json(path: Path) -> dict[str, Any]:
    """What `scores.json` says.

    Raises:
        UserError: it is damaged, or not ours.
    """
    return read_description(path, SCORES_FORMAT, ("scorer", "parts"))


def _names(runs: Sequence[ScoreRun]) -> str:
    return ", ".join(sorted({f"{run.scorer['model']} ({run.scorer['id']})" for run in runs}))
