"""What the rows of a board say together: medians over rounds, shares of the ceiling."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from benchmarks.gpu.board import DONE, Row
from benchmarks.gpu.plan import CEILING, NATIVE


@dataclass(frozen=True)
class Figure:
    """Medians over the rounds of one choice.

    Attributes:
        choice: what was measured, without its round.
        rate: images or samples a second; `rates`, of each round.
        ratio: over the reference's of the same rounds (native decoding; the ceiling), or None.
        others: medians of all else.
    """

    choice: Mapping[str, Any]
    rate: float
    rates: Sequence[float]
    ratio: float | None
    others: Mapping[str, Any]


def loaders(rows: Mapping[str, Row], level: str) -> list[Figure]:
    """Of a level of the plan; ratios are to native decoding of the same images with as many threads."""
    return _figures(rows, level, "images_per_s", {"decoder": NATIVE})


def trainings(rows: Mapping[str, Row]) -> list[Figure]:
    """Of training; ratios are to the ceiling, whatever the images were: it does not read any."""
    return _figures(rows, "training", "samples_per_s", {"source": CEILING, "form": "small"})


def _figures(rows: Mapping[str, Row], kind: str, rate: str, reference: Mapping[str, str]) -> list[Figure]:
    made = [row for name, row in rows.items() if name.startswith(f"{kind}/") and row["status"] == DONE]
    rates = {_key(row["choice"]): row["result"][rate] for row in made}
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in made:
        groups.setdefault(_key({**row["choice"], "round": 0}), []).append(row)
    found = []
    for own in groups.values():
        beside = [rates.get(_key({**row["choice"], **reference})) for row in own]
        ratios = [row["result"][rate] / other for row, other in zip(own, beside, strict=True) if other]
        choice = {name: value for name, value in own[0]["choice"].items() if name != "round"}
        results = [row["result"] for row in own]
        others = {name: _middle([r[name] for r in results]) for name in results[0] if name != rate}
        values = [result[rate] for result in results]
        found.append(Figure(choice, median(values), values, median(ratios) if ratios else None, others))
    return found


def _key(choice: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(sorted(choice.items()))


def _middle(values: Sequence[Any]) -> Any:
    known = [value for value in values if value is not None]
    return median(known) if known else None
