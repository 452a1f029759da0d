"""Brings a released set into a ledger: one folder per source, counts, rejects."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from engine.build.rejects import RejectWriter
from engine.build.state import State, build_lock
from engine.captions.ledger import (
    LEDGER_FORMAT,
    LEDGER_NAME,
    LedgerRow,
    LedgerWriter,
    read_metadata,
    source_folder,
)
from engine.captions.parts import describe_part
from engine.errors import UserError
from engine.imports.seen import SeenKeys
from engine.native import commit_file
from engine.records import Reject, check_key, clean_caption, printable

_ROWS_AT_ONCE = 65_536
Row = Mapping[str, Any]


@dataclass
class SourceCounts:
    """Of one source: every row of the release is a caption, a duplicate or rejected."""

    rows: int = 0
    captions: int = 0
    duplicates: int = 0
    rejected: Counter[str] = field(default_factory=Counter)

    before: bool = False  # an earlier run had imported it

    def to_json(self) -> dict[str, Any]:
        """For `ledger.json`, in the terms of a dataset's counts."""
        rejected = sum(self.rejected.values())
        return {
            "in": self.rows, "out": self.captions, "duplicates": self.duplicates, "rejected": rejected,
            "rejected_by_code": dict(self.rejected),
        }  # fmt: skip


@dataclass(frozen=True)
class Plan:
    """What is imported: the column of the key, for every source the column of its text, and the files.

    `inputs` are names and sizes in bytes: a second run with the same ones has nothing to do.
    """

    release: str
    key: str
    columns: Mapping[str, str]
    inputs: Sequence[Mapping[str, Any]] = ()

    def describe(self, source: str) -> dict[str, Any]:
        """What `ledger.json` says of where a source comes from."""
        imported = {"release": self.release, "key": self.key, "column": self.columns[source]}
        return {"imported": imported, "inputs": list(self.inputs)}


def choose_columns(row: Row, keys: Sequence[str], captions: Mapping[str, Sequence[str]]) -> Plan:
    """The columns of a release as a first row has them.

    Raises:
        UserError: the key or every caption is missing.
    """
    there = ", ".join(map(str, row)) or "nothing"
    key = next((name for name in keys if name in row), None)
    if key is None:
        raise UserError(
            f"no column for the key: expected one of {', '.join(keys)}; there is {there}; use --key"
        )
    columns = {
        source: found
        for source, names in captions.items()
        if (found := next((name for name in names if name in row), None)) is not None
    }
    if not columns:
        names = ", ".join(name for choice in captions.values() for name in choice)
        raise UserError(f"no column with captions: expected {names}; there is {there}; use --caption")
    return Plan("", key, columns)


def import_rows(
    files: Iterable[tuple[str, Iterator[Row]]], plan: Plan, ledger: Path
) -> dict[str, SourceCounts]:
    """Writes every source of the plan; a source appears when its `ledger.json` does, at the very end.

    A run that was stopped leaves no source behind, or some of them whole; the next run makes the others.

    Args:
        files: (where, rows) of each file of the release.
        plan: Columns.
        ledger: Its folder; sources that are there already are never touched.

    Raises:
        UserError: the ledger has a source from elsewhere, or a file cannot be read.
    """
    done = {source: found for source in plan.columns if (found := _before(plan, source, ledger)) is not None}
    missing = [source for source in plan.columns if source not in done]
    with ExitStack() as locks:
        for source in missing:
            locks.enter_context(build_lock(source_folder(ledger, source)))
        writers = {source: _SourceImport(plan, source, ledger) for source in missing}
        with ExitStack() as stack:
            for writer in writers.values():
                stack.enter_context(writer.rejects)
            for number, (where, rows) in enumerate(files if writers else ()):
                _import_file(writers, number, where, rows)
        for writer in writers.values():
            writer.finish()
    done |= {source: writer.counts for source, writer in writers.items()}
    return {source: done[source] for source in plan.columns}


def _before(plan: Plan, source: str, ledger: Path) -> SourceCounts | None:
    """The counts of a source that an earlier run imported from the same files."""
    path = source_folder(ledger, source) / LEDGER_NAME
    if not path.exists():
        return None
    found = read_metadata(path)
    if any(found.get(name) != value for name, value in plan.describe(source).items()):
        raise UserError(
            f"{ledger}: has {source} already, from other files or columns; import into another folder, or "
            f"remove {path.parent}"
        )
    counts = found["counts"]
    rejected = Counter(counts["rejected_by_code"])
    return SourceCounts(counts["in"], counts["out"], counts["duplicates"], rejected, before=True)


def _import_file(writers: Mapping[str, _SourceImport], number: int, where: str, rows: Iterator[Row]) -> None:
    with ExitStack() as stack:
        parts = {source: stack.enter_context(writer.part(number)) for source, writer in writers.items()}
        first = 0
        while chunk := list(islice(rows, _ROWS_AT_ONCE)):
            for source, writer in writers.items():
                writer.add(chunk, parts[source], where, first)
            first += len(chunk)


class _SourceImport:
    """One source on its way into the ledger."""

    def __init__(self, plan: Plan, source: str, ledger: Path) -> None:
        self.counts = SourceCounts()
        self._plan = plan
        self._source = source
        self._folder = source_folder(ledger, source)
        self._folder.mkdir(parents=True, exist_ok=True)
        self._parts: list[Path] = []
        self._seen = SeenKeys()
        self.rejects = RejectWriter(self._folder / "rejects.parquet")

    def part(self, number: int) -> LedgerWriter:
        self._parts.append(self._folder / f"{number:05}.parquet")
        return LedgerWriter(self._parts[-1])

    def add(self, rows: Sequence[Row], part: LedgerWriter, where: str, first: int) -> None:
        self.counts.rows += len(rows)
        good = []
        for at, row in enumerate(rows):
            key, text = row.get(self._plan.key), row.get(self._plan.columns[self._source])
            cleaned, code = clean_caption(text)
            if wrong := check_key(key):
                self._reject(str(key), "bad_key", f"the key {wrong}", f"{where}, row {first + at}")
            elif not cleaned:
                message = f"{self._plan.columns[self._source]}: {str(text)[:60]!r}"
                self._reject(str(key), code or "caption_empty", message, f"{where}, row {first + at}")
            else:
                good.append((str(key), cleaned, first + at))
        fresh = self._seen.add([key for key, _, _ in good])
        for (key, text, at), new in zip(good, fresh, strict=True):
            if new:
                part.add(self._row(key, text))
                self.counts.captions += 1
            else:
                self.counts.duplicates += 1
                message = f"has a caption already, kept once; this one: {text[:60]!r}"
                self.rejects.add(
                    Reject(key, "import", "duplicate_key", printable(message), f"{where}, row {at}")
                )

    def finish(self) -> None:
        for stray in {*self._folder.glob("[0-9]*.parquet"), *self._folder.glob("*.tmp")} - {*self._parts}:
            stray.unlink()  # of a run with more files that was stopped
        metadata = {
            "format": LEDGER_FORMAT,
            "source": self._source,
            **self._plan.describe(self._source),
            "parts": [describe_part(part) for part in self._parts],
            "counts": self.counts.to_json(),
        }
        commit_file(self._folder / LEDGER_NAME, json.dumps(metadata, indent=1, ensure_ascii=False).encode())
        State(self._folder).remove()

    def _reject(self, key: str, code: str, message: str, where: str) -> None:
        self.counts.rejected[code] += 1
        self.rejects.add(Reject(printable(key), "import", code, printable(message), where))

    def _row(self, key: str, text: str) -> LedgerRow:
        return LedgerRow(key, "", self._source, text, "ok", "", self._plan.release)
