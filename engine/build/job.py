"""What a worker gets and what it sends back; everything here can be pickled."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from engine.build.options import BuildOptions
from engine.sources import Source, Unit


@dataclass(frozen=True)
class Job:
    """The part that all units of a build share.

    Attributes:
        out: folder of the dataset.
        source: where the samples are read from.
        options: what decides the bytes.
        has_scores: whether the dataset has the `scores` column.
        threads: native threads of one worker.
    """

    out: Path
    source: Source
    options: BuildOptions
    has_scores: bool
    threads: int


@dataclass(frozen=True)
class Task:
    """One unit to pack; with `dedupe`, its keys in the exclusion file are left out as duplicates."""

    index: int
    unit: Unit
    dedupe: bool = False

    @property
    def folder(self) -> str:
        """The unit's folder below the dataset's."""
        return f"{self.index:05d}"

    def __str__(self) -> str:
        """As messages name it."""
        return f"unit {self.folder} ({self.unit.where})"


@dataclass
class Counts:
    """Samples of a unit or of a build: `seen` = `out` + `rejected` + `duplicates`.

    `failures` are the rejects that use up the failure budget, `bytes_in` the image bytes read.
    """

    seen: int = 0
    out: int = 0
    duplicates: int = 0
    failures: int = 0
    bytes_in: int = 0
    rejected_by_code: dict[str, int] = field(default_factory=dict)
    dropped_captions_by_code: dict[str, int] = field(default_factory=dict)

    @property
    def rejected(self) -> int:
        """Rejects of all codes."""
        return sum(self.rejected_by_code.values())

    def add(self, other: Counts) -> None:
        """Adds another unit's counts."""
        self.seen += other.seen
        self.out += other.out
        self.duplicates += other.duplicates
        self.failures += other.failures
        self.bytes_in += other.bytes_in
        add_counts(self.rejected_by_code, other.rejected_by_code)
        add_counts(self.dropped_captions_by_code, other.dropped_captions_by_code)

    def copy(self) -> Counts:
        """A snapshot that later counting leaves alone."""
        copy = Counts()
        copy.add(self)
        return copy


def add_counts(total: dict[str, int], more: dict[str, int]) -> None:
    """Adds counts by name."""
    for name, count in more.items():
        total[name] = total.get(name, 0) + count
