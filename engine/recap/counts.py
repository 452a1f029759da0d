"""What is counted of a unit or of a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from engine.captions.ledger import LedgerRow

# A row whose text is not what was asked for, in any form, uses up the failure budget.
_FAILED_FALLBACKS = ("vec", "alttext", "none")


@dataclass
class Counts:
    """Samples: `seen` = `out` (rows) + `rejected` + `duplicates`. Everything else is of the rows, or sums.

    Attributes:
        failures: rejects and rows that use up the failure budget.
        bytes_in: image bytes read.
        texts: rows with a text.
        alttext_cut: rows whose AltText was cut.
        asked, repeated: requests that were answered in this run; sent again after an engine's failure.
        spare: answers for rows that were left out, as an earlier unit turned out to have their key.
        attempts: answers that the rows are made from, whenever they came.
        prompt_tokens, completion_tokens: of these attempts.
        status, fallbacks: rows by status code and by fallback.
        answers: answers by the code of their check, retries included.
        grounding: sums of `engine.captions.grounding` over rows whose text was written from AltText or VeC.
    """

    seen: int = 0
    out: int = 0
    duplicates: int = 0
    failures: int = 0
    bytes_in: int = 0
    texts: int = 0
    alttext_cut: int = 0
    asked: int = 0
    repeated: int = 0
    spare: int = 0
    attempts: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    rejected_by_code: dict[str, int] = field(default_factory=dict)
    status: dict[str, int] = field(default_factory=dict)
    fallbacks: dict[str, int] = field(default_factory=dict)
    answers: dict[str, int] = field(default_factory=dict)
    grounding: dict[str, int] = field(default_factory=dict)

    @property
    def rejected(self) -> int:
        """Rejects of all codes."""
        return sum(self.rejected_by_code.values())

    def add_row(self, row: LedgerRow, sign: int = 1) -> None:
        """Counts a row, or takes it back with a `sign` of -1."""
        self.out += sign
        self.failures += sign * row_failed(row)
        self.texts += sign * (row.text is not None)
        self.alttext_cut += sign * row.alttext_cut
        self.attempts += sign * row.attempts
        self.prompt_tokens += sign * row.prompt_tokens
        self.completion_tokens += sign * row.completion_tokens
        count(self.status, row.status, sign)
        count(self.fallbacks, row.fallback or "asked_for", sign)

    def add_grounding(self, sums: Mapping[str, int]) -> None:
        """Counts how far captions keep to their inputs."""
        for name, number in sums.items():
            count(self.grounding, name, number)

    def add(self, other: Counts) -> None:
        """Adds another unit's counts."""
        for item in fields(self):
            mine, theirs = getattr(self, item.name), getattr(other, item.name)
            if isinstance(mine, dict):
                for name, number in theirs.items():
                    count(mine, name, number)
            else:
                setattr(self, item.name, mine + theirs)

    def copy(self) -> Counts:
        """A snapshot that later counting leaves alone."""
        copy = Counts()
        copy.add(self)
        return copy

    def to_json(self) -> dict[str, Any]:
        """All of it."""
        return asdict(self)


def row_failed(row: LedgerRow) -> bool:
    """Whether a row uses up the failure budget: VeC instead of VeCap where there is no AltText does not."""
    return row.fallback in _FAILED_FALLBACKS and (row.status, row.fallback) != ("no_alttext", "vec")


def count(total: dict[str, int], name: str, number: int = 1) -> None:
    """Adds to a count by name; counts of zero are not kept."""
    total[name] = total.get(name, 0) + number
    if total[name] == 0:
        del total[name]
