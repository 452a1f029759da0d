"""The shape of every source: deterministic work units, each read as a stream."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from engine.records import Record, Reject
from engine.sources.assemble import Assembler


@dataclass(frozen=True)
class Unit:
    """What one process reads from start to end: an input shard or a chunk of a table's images.

    Attributes:
        name: stable; the file's name, with a range where a file has several units.
        where: the path or URL, for messages.
        payload: what the source needs to find the samples again; picklable.
    """

    name: str
    where: str
    payload: Any


class Source(ABC):
    """Samples of one format. Picklable: worker processes get the source and a unit."""

    format: str

    def __init__(self, assembler: Assembler) -> None:
        """Keep the assembler, which knows what the fields mean."""
        self.assembler = assembler

    @property
    def caption_sources(self) -> tuple[str, ...]:
        """Names of the caption sources, in the order in which a dataset stores them."""
        return self.assembler.caption_sources

    @abstractmethod
    def units(self) -> list[Unit]:
        """All work units in input order; the same input gives the same list."""

    @abstractmethod
    def read(self, unit: Unit) -> Iterator[Record | Reject]:
        """Every sample of a unit, in input order, each as a record or a reject; memory stays bounded."""
