"""One file with everything in it, in which no caption or class name can run (decision 0122)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from engine.native import commit_file
from engine.page import page_text
from train.evaluate.papers import paper_tables
from train.evaluate.report.pictures import Pictures
from train.evaluate.report.sections import section
from train.evaluate.results import TaskResult
from train.evaluate.table import Row, facts, percent, signed_percent

ABSENT = ("missing", "failed")
TEMPLATE = Path(__file__).parent / "data" / "evaluation"


def write_report(
    path: Path, results: Sequence[TaskResult], table: Sequence[Row], about: Mapping[str, object]
) -> None:
    """Write the page; it appears whole or not at all. The same input gives the same bytes.

    Args:
        path: the file.
        results: tasks that were measured; their sets are read again for the pictures.
        table: their figures.
        about: what the figures belong to; `model` or its `name` is the title; `missing` and `failed` say why
            tasks have no figures.

    Raises:
        OSError: the file cannot be written.
    """
    model = about.get("model")
    name = model.get("name") if isinstance(model, Mapping) else model
    title = f"Evaluation: {name}" if name else "Evaluation"
    commit_file(path, page_text(TEMPLATE, title, page_data(results, table, about)).encode())


def page_data(
    results: Sequence[TaskResult], table: Sequence[Row], about: Mapping[str, object]
) -> dict[str, Any]:
    """Everything that the page shows, of JSON's kinds."""
    pictures = Pictures()
    sections = [section(result, pictures) for result in results]
    return {
        "about": list(facts({name: value for name, value in about.items() if name not in ABSENT})),
        "absent": [fact for name in ABSENT for fact in facts({"": about.get(name)})],
        "rows": [_row(row) for row in table],
        "papers": [asdict(paper) for paper in paper_tables(table)],
        "means": _means(table, {result.task.name for result in results}),
        "tasks": sections,
        "pictures": pictures.shown,
    }


def _means(table: Sequence[Row], tasks: Collection[str]) -> list[dict[str, str]]:
    """What stands in the table without being a task, once each."""
    others = {row.task: row for row in table if row.task not in tasks}
    return [{"task": row.task, "title": row.title, "measured": row.note} for row in others.values()]


def _row(row: Row) -> dict[str, Any]:
    difference = row.difference
    return {
        "task": row.task,
        "metric": row.metric,
        "value": percent(row.value),
        "published": percent(row.published.value) if row.published else "",
        "difference": signed_percent(difference),
        "better": difference is not None and difference >= 0,
        "source": row.source,
    }
