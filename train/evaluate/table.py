"""The table of an evaluation: what was measured beside what was published, as text, Markdown and JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import Any

from train.evaluate import registry
from train.evaluate.published import Figure
from train.evaluate.results import TaskResult
from train.keeping.checkpoints import flat

FORMAT = "veclip-evaluation/1"
VTAB = "vtab"


@dataclass(frozen=True)
class Row:
    """One figure.

    Attributes:
        task: its name.
        title: of the task.
        metric: with the protocol's variant: `single/top_1`.
        value: fraction 0..1.
        published: what it is compared with, or None.
        note: what was measured: `998 of 1,000 images, 4,990 texts, 2 left out`.
    """

    task: str
    title: str
    metric: str
    value: float
    published: Figure | None
    note: str

    @property
    def difference(self) -> float | None:
        """Ours less the published figure; None where there is none."""
        return None if self.published is None else self.value - self.published.value

    @property
    def source(self) -> str:
        """Whose figure the published one is, and where it stands."""
        if self.published is None:
            return ""
        return f"{self.published.title}, {self.published.data} ({self.published.source})"


def rows(
    results: Sequence[TaskResult], published: Callable[[str, str], Figure | None] | None = None
) -> list[Row]:
    """All figures, in the order of the results, and the mean of VTAB's tasks.

    Args:
        results: tasks that were measured.
        published: by name of the task and the metric, the figure to compare with.
    """
    find = published or (lambda task, metric: None)
    found = [
        Row(task.name, task.title, metric, value, find(task.name, metric), measured(result))
        for result in results
        for task in (result.task,)
        for metric, value in result.metrics.items()
    ]
    return found + _mean_rows(results, find)


def _mean_rows(results: Sequence[TaskResult], published: Callable[[str, str], Figure | None]) -> list[Row]:
    """VTAB's mean, when all of its tasks were measured: of the metrics that each of them has."""
    nine = registry.groups()[VTAB]
    measured_ones = {result.task.name: result.metrics for result in results}
    if not measured_ones.keys() >= set(nine):
        return []
    tables = [measured_ones[name] for name in nine]
    title, note = f"VTAB, mean of {len(nine)}", ", ".join(nine)
    return [
        Row(VTAB, title, metric, sum(t[metric] for t in tables) / len(nine), published(VTAB, metric), note)
        for metric in tables[0]
        if all(metric in table for table in tables)
    ]


def measured(result: TaskResult) -> str:
    """What a task's figures are of: `998 of 1,000 images, 4,990 texts, 2 left out`."""
    images, wanted = result.sizes["images"], result.task.images
    of = "" if wanted in (None, images) else f" of {wanted:,}"
    counts = [f"{count:,} {name}" for name, count in result.sizes.items() if name != "images"]
    left_out = [f"{len(result.rejects):,} left out"] if result.rejects else []
    return ", ".join([f"{images:,}{of} images", *counts, *left_out])


def percent(value: float) -> str:
    """A fraction in percent; `n/a` for what is no number."""
    return f"{100 * value:.2f}" if math.isfinite(value) else "n/a"


def signed_percent(value: float | None) -> str:
    """A difference of fractions in points of percent; empty for None."""
    return "" if value is None else f"{100 * value:+.2f}" if math.isfinite(value) else "n/a"


def as_text(table: Sequence[Row]) -> str:
    """For a terminal, in percent: a block for each task, numbers under each other."""
    compared = any(row.published for row in table)
    width = max((len(row.metric) for row in table), default=0)
    lines = [f"{'%':{width + 2}}  {'ours':>7}" + ("  published  difference" if compared else "")]
    for title, block in groupby(table, key=lambda row: (row.task, row.title, row.note)):
        lines.append(f"{title[1]}: {title[2]}")
        lines += [_text_line(row, width) for row in block]
    return "\n".join(lines)


def _text_line(row: Row, width: int) -> str:
    theirs = percent(row.published.value) if row.published else ""
    line = f"  {row.metric:{width}}  {percent(row.value):>7}"
    return f"{line}  {theirs:>9}  {signed_percent(row.difference):>10}  {row.source}".rstrip()


def as_markdown(table: Sequence[Row], about: Mapping[str, object], *below: str) -> str:
    """A table in percent, and what it was measured with.

    Args:
        table: all figures.
        about: what the figures belong to; nested mappings become dotted names.
        below: further parts, in Markdown.
    """
    heads = ("Task", "Metric", "Ours, %", "Published, %", "Difference", "Published by", "Measured")
    cells = (
        (
            row.title, row.metric, percent(row.value), percent(row.published.value) if row.published else "",
            signed_percent(row.difference), row.source, row.note,
        )
        for row in table
    )  # fmt: skip
    lines = [_line(heads), "|---|---|---:|---:|---:|---|---|", *map(_line, cells), ""]
    lines += [f"- {_markdown(name)}: {_markdown(text)}" for name, text in facts(about)]
    return "\n".join([*lines, *below]) + "\n"


def markdown_table(heads: Sequence[str], rows: Iterable[Sequence[str]], texts: int) -> str:
    """A table of texts; all columns but the first `texts` hold numbers."""
    marks = ["---" if at < texts else "---:" for at in range(len(heads))]
    return "\n".join([_line(heads), f"|{'|'.join(marks)}|", *map(_line, rows)])


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(_markdown(cell).replace("|", "\\|") for cell in cells) + " |"


def _markdown(text: str) -> str:
    """Text of others: no tags, no lines of its own."""
    return visible(text.replace("\n", " ")).replace("&", "&amp;").replace("<", "&lt;")


def visible(text: str) -> str:
    """Control characters and what is no character as escapes: names of files may hold anything."""
    whole = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return "".join(f"\\x{ord(c):02x}" if ord(c) < 32 or 127 <= ord(c) < 160 else c for c in whole)


def facts(about: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """What the figures belong to, by dotted name, as texts; what is empty is left out."""
    for name, value in flat(dict(about)).items():
        text = ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
        if value is not None and text not in ("", "{}"):
            yield name, text


def as_json(table: Sequence[Row], results: Sequence[TaskResult], about: Mapping[str, object]) -> str:
    """Everything, unrounded; fractions, null for what is no number."""
    published = {(row.task, row.metric): row for row in table if row.published}
    tasks = [_task(result, published) for result in results]
    means = [
        {"task": row.task, "metric": row.metric, "value": _number(row.value)}
        | ({"published": _figure(row)} if row.published else {})
        for row in table
        if row.task == VTAB
    ]
    whole = {"format": FORMAT, "about": about, "tasks": tasks, "means": means}
    return json.dumps(whole, indent=1, default=str) + "\n"


def _task(result: TaskResult, published: Mapping[tuple[str, str], Row]) -> dict[str, Any]:
    task = result.task
    compared = {name: published[key] for name in result.metrics if (key := (task.name, name)) in published}
    return {
        "task": task.name,
        "title": task.title,
        "kind": task.kind.value,
        "where": result.where,
        "protocol_images": task.images,
        "sizes": dict(result.sizes),
        "seconds": result.seconds,
        "metrics": {name: _number(value) for name, value in result.metrics.items()},
        "published": {name: _figure(row) for name, row in compared.items()},
        "rejects": [asdict(reject) for reject in result.rejects],
    }


def _figure(row: Row) -> dict[str, Any]:
    figure = row.published
    assert figure is not None
    described = {"model": figure.model, "data": figure.data, "source": figure.source}
    return {"value": figure.value, "difference": _number(row.difference), **described}


def _number(value: float | None) -> float | None:
    # Not a number is written as a word that JSON does not know.
    return value if value is not None and math.isfinite(value) else None
