"""The papers' tables: every published figure of what was measured, in its column, ours in the first row."""

from __future__ import annotations

import dataclasses

from tests.train.evaluate.results_kit import class_result, retrieval_result
from train.evaluate import registry
from train.evaluate.papers import OURS, as_markdown, paper_tables
from train.evaluate.published import lookup
from train.evaluate.results import TaskResult
from train.evaluate.table import rows

OWN = class_result([0, 1], [0, 1], ["a", "b"])


def result(name: str, **metrics: float) -> TaskResult:
    named = {metric.replace("__", "/"): value for metric, value in metrics.items()}
    return dataclasses.replace(OWN, task=registry.task(name), metrics=named)


def test_each_published_figure_stands_in_its_column() -> None:
    measured = [
        OWN,
        result("imagenet", single__top_1=0.5, single__mean_per_class_recall=0.4, ens7__top_1=0.25),
        result("pets", clip__top_1=0.125),
        retrieval_result(4, 2, 0),
        result("dtd", clip__top_1=0.75),
    ]
    imagenet, vtab = paper_tables(rows(measured))
    assert (imagenet.title, imagenet.columns) == ("ImageNet", ("single/top_1", "ens7/top_1"))
    assert imagenet.rows[0] == (OURS, "", "50.00", "25.00")
    assert vtab.columns == ("OxPet clip/top_1", "DTD clip/top_1")
    assert vtab.rows[0] == (OURS, "", "12.50", "75.00")
    for task, metric, table, at in (
        ("imagenet", "single/top_1", imagenet, 2),
        ("imagenet", "ens7/top_1", imagenet, 3),
        ("pets", "clip/top_1", vtab, 2),
        ("dtd", "clip/top_1", vtab, 3),
    ):
        expected = {(f.title, f.data): f"{100 * f.value:.2f}" for f in reversed(lookup(task, metric))}
        assert {row[:2]: row[at] for row in table.rows[1:] if row[at]} == expected
        assert len({row[:2] for row in table.rows}) == len(table.rows)


def test_what_nobody_published_has_no_table() -> None:
    assert paper_tables(rows([OWN, result("imagenet", own__top_1=1.0)])) == []


def test_markdown_has_a_table_under_each_title() -> None:
    (table,) = paper_tables(rows([result("imagenet", single__top_1=0.5)]))
    lines = as_markdown([table]).splitlines()
    at = lines.index("### ImageNet: 2 of 50,000 images, 2 classes")
    head, marks, ours = lines[at + 2 : at + 5]
    assert (head, marks) == ("| Model | Data | single/top_1 |", "|---|---|---:|")
    assert ours == "| this model |  | 50.00 |"
    assert "| VeCLIP B/16 3M | VeCap-3M | 15.98 |" in lines
