"""The caption ledger: one parquet row per sample and source, with everything that the caption came from.

    LEDGER/vec/00000.parquet ...            rows of one work unit, in input order
    LEDGER/vec/rejects.parquet              samples without a row
    LEDGER/vec/ledger.json                  written last: without it the source is unfinished
    LEDGER/vecap/...  LEDGER/rewrite/<pack>/...

Each source has its own folder, so a later run adds sources without touching earlier ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from engine.captions.parts import ROWS_PER_GROUP, check_parts, read_description, read_part
from engine.captions.scores import has_scores
from engine.errors import UserError
from engine.parquet_file import RowWriter

LEDGER_NAME = "ledger.json"
LEDGER_FORMAT = "veclip-captions/1"
FALLBACKS = ("", "vec_alone", "vec", "alttext", "none")
"""What a text is if not what was asked for: written from VeC alone, VeC itself, AltText itself, nothing."""


@dataclass(frozen=True)
class LedgerRow:
    """The final caption of one sample for one source.

    Attributes:
        key: the sample's key.
        content_hash: xxh3_128 of the image file as it came from the source, hex; empty if unknown.
        source: `vec`, `vecap` or `rewrite/<pack>`.
        text: the caption; None if there is none.
        status: `ok`, or why the first thing asked for did not give the caption.
        fallback: one of `FALLBACKS`.
        model: name of the model, with its `revision`.
        template, template_hash: the chat template.
        prompt, prompt_hash: variant of the prompt, and hash of its form (the words without the data).
        sampling: temperature, top_p and max_tokens as JSON.
        seed: of the request that gave the text.
        finish_reason: as the engine says: `stop`, `length`, ...
        attempts: requests that were answered for this row.
        alttext_cut: whether the AltText was cut to the token limit.
        prompt_tokens, completion_tokens: of all attempts.
    """

    key: str
    content_hash: str
    source: str
    text: str | None
    status: str
    fallback: str
    model: str
    revision: str = ""
    template: str = ""
    template_hash: str = ""
    prompt: str = ""
    prompt_hash: str = ""
    sampling: str = ""
    seed: int = 0
    finish_reason: str = ""
    attempts: int = 0
    alttext_cut: bool = False
    prompt_tokens: int = 0
    completion_tokens: int = 0


_TYPES = {"seed": pa.int64(), "attempts": pa.int16(), "alttext_cut": pa.bool_()}
_TYPES |= {"prompt_tokens": pa.int32(), "completion_tokens": pa.int32()}
SCHEMA = pa.schema([(name, _TYPES.get(name, pa.string())) for name in LedgerRow.__dataclass_fields__])


class LedgerWriter(RowWriter[LedgerRow]):
    """One part of a source."""

    def __init__(self, path: Path) -> None:
        """Starts a temporary file beside `path`."""
        super().__init__(path, SCHEMA, ROWS_PER_GROUP, write_page_checksum=True)


def read_rows(path: Path) -> Iterator[LedgerRow]:
    """Rows of one part."""
    for batch in read_part(path):
        for row in batch.to_pylist():
            yield LedgerRow(**row)


@dataclass(frozen=True)
class LedgerSource:
    """One finished source of a ledger: its name, its parts in unit order, and what `ledger.json` says."""

    name: str
    parts: tuple[Path, ...]
    metadata: dict[str, Any]

    @property
    def folder(self) -> Path:
        """Where it is."""
        return self.parts[0].parent

    @property
    def rows(self) -> int:
        """Of all parts."""
        return sum(int(part["rows"]) for part in self.metadata["parts"])


def source_folder(ledger: Path, source: str) -> Path:
    """Where a ledger keeps a source."""
    return ledger.joinpath(*source.split("/"))


def open_ledger(ledger: Path) -> list[LedgerSource]:
    """All finished sources of a ledger, in order of their names; none where it holds scores alone.

    Raises:
        UserError: there is none, or a part that `ledger.json` names is missing.
    """
    found = [_open_source(path) for path in sorted(ledger.glob(f"**/{LEDGER_NAME}"))]
    if not found and not has_scores(ledger):
        raise UserError(
            f"{ledger}: holds no finished captions; expected a folder that python -m engine.recaption made"
        )
    return sorted(found, key=lambda source: source.name)


def open_sources(ledgers: Iterable[Path]) -> dict[str, list[LedgerSource]]:
    """The sources of several ledgers by name; ledgers keep their order, names are sorted."""
    sources: dict[str, list[LedgerSource]] = {}
    for ledger in ledgers:
        for source in open_ledger(ledger):
            sources.setdefault(source.name, []).append(source)
    return dict(sorted(sources.items()))


def read_metadata(path: Path) -> dict[str, Any]:
    """What `ledger.json` says.

    Raises:
        UserError: it is damaged, or not ours.
    """
    return read_description(path, LEDGER_FORMAT, ("source", "parts"))


def _open_source(path: Path) -> LedgerSource:
    metadata = read_metadata(path)
    parts = check_parts(path, metadata["parts"])
    return LedgerSource(str(metadata["source"]), parts, metadata)
