"""Rows of a table, each findable again: what `TableSource` needs to bring the rows of one image together."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Row:
    """One row.

    Attributes:
        position: where it is found again: byte offset or row number.
        cells: values by column.
        problem: why it could not be read, if so.
        order: place among the rows of its image, where the table numbers them.
    """

    position: int
    cells: dict[str, Any]
    problem: str | None = None
    order: int = 0


class RowReader(ABC):
    """A table file. Picklable."""

    path: str
    columns: tuple[str, ...]

    @abstractmethod
    def rows(self) -> Iterator[Row]:
        """All rows in file order."""

    @abstractmethod
    def fetch(self, positions: Sequence[int]) -> Iterator[Row]:
        """The rows at these positions, in this order."""
