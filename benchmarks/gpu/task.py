"""What one measuring process is asked to do, and where its data lies."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.gpu.settings import Settings, from_json

FORMS = ("small", "originals")
"""How images are stored: with a shorter side of 256 pixels, or as they are."""
SOURCE = "alttext"
CONTEXT = 77


@dataclass(frozen=True)
class Data:
    """The data sets below a folder."""

    root: Path

    def shards(self, form: str) -> Path:
        """A data set of engine.shard."""
        return self.root / form / "shards"

    def tars(self, form: str) -> Path:
        """Folder of the tar files that it was packed from."""
        return self.root / form / "tars"

    def complete(self, settings: Settings) -> bool:
        """Whether it was made, and with these settings."""
        return self.mark.exists() and self.mark.read_text() == describe(settings)

    @property
    def mark(self) -> Path:
        """Written last."""
        return self.root / "complete"


def describe(settings: Settings) -> str:
    """What decides the data."""
    return f"{settings.images} {settings.distinct} {settings.repeats}"


@dataclass(frozen=True)
class Task:
    """One measurement.

    Attributes:
        kind: module of this package whose `measure` is called.
        work: folder of data and logs.
        name: of the measurement.
        choice: what this one of its kind measures.
    """

    kind: str
    work: str
    name: str
    settings: Settings
    choice: dict[str, Any]

    @property
    def data(self) -> Data:
        """The images."""
        return Data(Path(self.work) / "data")

    @property
    def folder(self) -> Path:
        """For what it leaves."""
        return Path(self.work) / "runs" / self.name.replace("/", "_")

    def to_json(self) -> dict[str, Any]:
        """For the measuring process."""
        return asdict(self)


def task_from_json(fields: dict[str, Any]) -> Task:
    """The inverse of `Task.to_json`."""
    return Task(**{**fields, "settings": from_json(fields["settings"])})
