"""Figures that papers print, out of `train/evaluate/data/published/`, to stand beside one's own."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import yaml

from engine.errors import UserError
from engine.nearest import nearest
from train.evaluate.registry import DATA

# The order of the papers in tables.
FILES = ("veclip.yaml", "laclip.yaml")


@dataclass(frozen=True)
class Figure:
    """A published figure.

    Attributes:
        model: its name here, as in `--compare`.
        title: the model's name for tables.
        data: what it was trained on.
        value: a fraction, 0..1.
        source: paper and table.
    """

    model: str
    title: str
    data: str
    value: float
    source: str


def lookup(task: str, metric: str) -> list[Figure]:
    """Return what is published of a metric, in the order of the papers' tables; empty where nothing is.

    Args:
        task: its name; `vtab` for the mean over its nine.
        metric: as in `TaskResult.metrics`.
    """
    return list(_figures().get((task, metric), ()))


@cache
def published_models() -> dict[str, str]:
    """Return the title and data of every published model by its name."""
    return {
        name: f"{facts['title']} ({facts['data']}; {paper['paper']})"
        for paper in _papers()
        for name, facts in paper["models"].items()
    }


def check_model(name: str) -> None:
    """Refuse a name that no published model has.

    Raises:
        UserError: with the nearest one.
    """
    known = tuple(published_models())
    if name not in known:
        raise UserError(
            f"{name}: no published model{nearest(name, known)}; expected one of {', '.join(known)}"
        )


@cache
def _figures() -> dict[tuple[str, str], tuple[Figure, ...]]:
    found: dict[tuple[str, str], tuple[Figure, ...]] = {}
    for paper in _papers():
        for table in paper["tables"]:
            columns = [tuple(column) for column in table["columns"]]
            for model, values in table["rows"].items():
                facts = paper["models"][model]
                for column, value in zip(columns, values, strict=True):
                    if value is not None:
                        source = f"{paper['paper']}, {table['source']}"
                        figure = Figure(model, facts["title"], facts["data"], value / 100, source)
                        found[column] = (*found.get(column, ()), figure)
    return found


@cache
def _papers() -> tuple[dict[str, Any], ...]:
    return tuple(yaml.safe_load((DATA / "published" / file).read_text("utf-8")) for file in FILES)
