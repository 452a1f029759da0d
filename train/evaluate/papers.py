"""The papers' tables with one's own row in them: every model with a published figure that was measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from train.evaluate import registry
from train.evaluate.published import Figure, lookup
from train.evaluate.table import VTAB, Row, markdown_table, percent

OURS = "this model"


@dataclass(frozen=True)
class PaperTable:
    """A table as papers print it.

    Attributes:
        title: of the task, or of VTAB's.
        note: what our figures are of; empty for VTAB's.
        columns: metrics, or VTAB's tasks.
        rows: models, ours first: title, training data, and a figure in percent for each column, or "".
    """

    title: str
    note: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def paper_tables(table: Sequence[Row]) -> list[PaperTable]:
    """One for each task that has published figures; VTAB's tasks stand in one."""
    groups: dict[str, list[Row]] = {}
    vtab = {VTAB, *registry.groups()[VTAB]}
    for row in table:
        if lookup(row.task, row.metric):
            groups.setdefault(VTAB if row.task in vtab else row.task, []).append(row)
    return [_table(name, rows) for name, rows in groups.items()]


def _table(name: str, rows: Sequence[Row]) -> PaperTable:
    title, note = ("VTAB", "") if name == VTAB else (rows[0].title, rows[0].note)
    columns = tuple(f"{row.title} {row.metric}" if name == VTAB else row.metric for row in rows)
    ours = (OURS, "", *(percent(row.value) for row in rows))
    return PaperTable(title, note, columns, (ours, *_published(rows)))


def _published(rows: Sequence[Row]) -> list[tuple[str, ...]]:
    found: dict[str, dict[int, Figure]] = {}
    for at, row in enumerate(rows):
        for figure in lookup(row.task, row.metric):
            # The first source counts where several have a figure: the papers stand before READMEs.
            found.setdefault(figure.model, {}).setdefault(at, figure)
    return [
        (first.title, first.data, *(percent(own[at].value) if at in own else "" for at in range(len(rows))))
        for own in found.values()
        for first in (next(iter(own.values())),)
    ]


def as_markdown(tables: Sequence[PaperTable]) -> str:
    """The tables, each under its title."""
    heads = ("Model", "Data")
    parts = []
    for table in tables:
        title = f"{table.title}: {table.note}" if table.note else table.title
        parts.append(f"### {title}\n\n{markdown_table((*heads, *table.columns), table.rows, len(heads))}")
    return "\n\n".join(["\n## Among the published models, %", *parts])
