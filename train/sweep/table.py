"""The table of a sweep: mean and spread over seeds, differences from the baseline seed by seed, chance."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from engine.errors import UserError
from engine.nearest import nearest
from train.heldout.validation import CONTRASTED
from train.sweep.plan import Sweep, SweepConfig
from train.sweep.runs import result_of

Results = Mapping[str, Mapping[int, Mapping[str, Any]]]
"""Row to seed to results.json."""


@dataclass(frozen=True)
class Cell:
    """Values over seeds: their mean, and their standard deviation (n - 1; None of a single one)."""

    mean: float
    spread: float | None


@dataclass(frozen=True)
class Row:
    """A row of the table. `difference` is from the baseline, over the seeds that both have."""

    name: str
    seeds: tuple[int, ...]
    cells: Mapping[str, Cell]
    difference: Cell | None


@dataclass(frozen=True)
class Table:
    """What a sweep found. Recalls are in percent.

    Attributes:
        chance: what a model that knows nothing has, by column; None where that is not known.
        sampling_error: standard error of the baseline's `compare` from the number of images alone, None where
            that column has no recall in it.
    """

    rows: tuple[Row, ...]
    chance: Mapping[str, float | None]
    sampling_error: float | None
    images: int
    texts: int


def collect(sweep: Sweep) -> dict[str, dict[int, dict[str, Any]]]:
    """The results that are there."""
    found: dict[str, dict[int, dict[str, Any]]] = {}
    for run in sweep.runs:
        result = result_of(run)
        if result is not None:
            found.setdefault(run.row, {})[run.seed] = result
    return found


def build_table(config: SweepConfig, results: Results) -> Table:
    """Sums up.

    Raises:
        UserError: no results, or none of a name that a column wants.
    """
    if not results:
        raise UserError("no run of the sweep has results yet; leave out --table-only")
    values = {row: {seed: _columns(config, r) for seed, r in seeds.items()} for row, seeds in results.items()}
    baseline = values.get(config.baseline, {})
    rows = [_row(config, row, values[row], baseline) for row in config.rows if row in values]
    some = next(iter(next(iter(results.values())).values()))
    images, texts = int(some["images"]), int(some["texts"])
    chance = {title: _mean_or_none([chance_of(n, images, texts) for n in _names(entry)])
              for title, entry in config.columns.items()}  # fmt: skip
    return Table(tuple(rows), chance, _sampling_error(config, rows, images), images, texts)


def cell(values: Sequence[float]) -> Cell:
    """Mean and standard deviation (n - 1)."""
    return Cell(float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else None)


def chance_of(name: str, images: int, texts: int) -> float | None:
    """An entry of results.json when nothing is known: recalls in percent, losses in nats.

    With c texts an image, image to text counts any of them among the first k of all; c is taken as equal.
    """
    if name.startswith("loss/"):
        return math.log(min(CONTRASTED, images))
    if "_r@" not in name:
        return None
    k, each = int(name.rpartition("@")[2]), max(1, texts // images)
    if name.startswith("text_to_image"):
        return 100 * min(1.0, k / images)
    return 100 * (1 - math.comb(max(0, texts - each), k) / math.comb(texts, k)) if k <= texts else 100.0


def _row(
    config: SweepConfig, name: str, own: Mapping[int, Mapping[str, float]],
    baseline: Mapping[int, Mapping[str, float]],
) -> Row:  # fmt: skip
    cells = {title: cell([values[title] for values in own.values()]) for title in config.columns}
    both = [seed for seed in own if seed in baseline]
    column = config.compare
    differences = [own[seed][column] - baseline[seed][column] for seed in both]
    compared = cell(differences) if differences and name != config.baseline else None
    return Row(name, tuple(own), cells, compared)


def _columns(config: SweepConfig, result: Mapping[str, Any]) -> dict[str, float]:
    return {
        title: float(np.mean([_value(result, name, title) for name in _names(entry)]))
        for title, entry in config.columns.items()
    }


def _names(entry: str | tuple[str, ...]) -> tuple[str, ...]:
    return (entry,) if isinstance(entry, str) else entry


def _value(result: Mapping[str, Any], name: str, title: str) -> float:
    if not isinstance(result.get(name), int | float):
        known = [n for n, v in result.items() if isinstance(v, int | float)]
        raise UserError(f"columns.{title}: results.json has no {name!r}"
                        + nearest(name, known, f"; it has {', '.join(known)}"))  # fmt: skip
    return float(result[name]) * (100 if "_r@" in name else 1)


def _mean_or_none(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if len(known) == len(values) else None


def _sampling_error(config: SweepConfig, rows: Sequence[Row], images: int) -> float | None:
    """Of a share p of as many queries as there are images: sqrt(p (1 - p) / n), in percent."""
    row = next((row for row in rows if row.name == config.baseline), None)
    if row is None or not all("_r@" in name for name in _names(config.columns[config.compare])):
        return None
    p = row.cells[config.compare].mean / 100
    return 100 * math.sqrt(p * (1 - p) / images)


def markdown(config: SweepConfig, table: Table) -> str:
    """The table as Markdown, with what its numbers are below it."""
    titles = list(config.columns)
    lines = [
        f"| row | seeds | {' | '.join(titles)} | {config.compare} - {config.baseline} |",
        "|---|" + "---:|" * (len(titles) + 2),
    ]
    for row in table.rows:
        cells = " | ".join(_show(row.cells[title]) for title in titles)
        difference = "" if row.difference is None else _show(row.difference, sign="+")
        lines.append(f"| {row.name} | {len(row.seeds)} | {cells} | {difference} |")
    chance = ["" if c is None else f"{c:.2f}" for c in table.chance.values()]
    lines += [f"| chance | | {' | '.join(chance)} | |", "", _legend(config, table), ""]
    return "\n".join(lines)


def _legend(config: SweepConfig, table: Table) -> str:
    text = (
        f"Mean ± standard deviation over seeds; recalls in percent, on {table.images:,} images and "
        f"{table.texts:,} texts. Differences are taken seed by seed."
    )
    if table.sampling_error is None:
        return text
    return (
        f"{text} The choice of the images, the same for all rows, gives `{config.compare}` a standard error "
        f"of about {table.sampling_error:.2f}."
    )


def _show(value: Cell, sign: str = "") -> str:
    mean = f"{value.mean:{sign}.2f}"
    return mean if value.spread is None else f"{mean} ± {value.spread:.2f}"


def write_table(sweep: Sweep, table: Table) -> tuple[Path, Path]:
    """Writes table.md and table.json into the sweep's folder."""
    paths = sweep.folder / "table.md", sweep.folder / "table.json"
    sweep.folder.mkdir(parents=True, exist_ok=True)
    paths[0].write_text(markdown(sweep.config, table), encoding="utf-8")
    paths[1].write_text(json.dumps(asdict(table), indent=2) + "\n", encoding="utf-8")
    return paths
