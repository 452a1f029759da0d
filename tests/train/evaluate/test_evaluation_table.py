"""The table: percent with two decimals for people, everything unrounded as JSON."""

from __future__ import annotations

import dataclasses
import json

import pytest

from engine.records import Reject
from tests.train.evaluate.results_kit import class_result, retrieval_result
from train.evaluate import registry
from train.evaluate.published import Figure
from train.evaluate.table import as_json, as_markdown, as_text, facts, rows, visible

BIRDS = class_result([0, 0, 1], [0, 1, 1], ["wren", "a|b"])
LEFT_OUT = dataclasses.replace(BIRDS, rejects=(Reject("k9", "image", "truncated", "ends early", "a.tar"),))
PAPER = Figure("veclip_3m", "VeCLIP-B/16", "3M", 0.5, "VeCLIP, table 3")
ABOUT = {"model": {"name": "tiny", "transform": {"size": 32, "mean": [0.5, 0.25]}}, "missing": {}, "id": None}


def published(task: str, metric: str) -> Figure | None:
    return PAPER if (task, metric) == ("birds", "single/top_1") else None


def test_rows_have_figure_published_figure_and_difference() -> None:
    top, recall = rows([LEFT_OUT], published)
    assert (top.value, top.published, top.difference) == (2 / 3, PAPER, 2 / 3 - 0.5)
    assert (recall.published, recall.difference, recall.source) == (None, None, "")
    assert top.note == "3 of 50,000 images, 2 classes, 1 left out"
    (row, _) = rows([retrieval_result(4, 2, 0)], published)
    assert (row.published, row.note) == (None, "4 images, 8 texts")


def test_a_terminal_has_numbers_under_each_other() -> None:
    text = as_text(rows([BIRDS, retrieval_result(4, 2, 0)], published))
    assert text.splitlines()[:4] == [
        "%                                  ours  published  difference",
        "Birds: 3 of 50,000 images, 2 classes",
        "  single/top_1                    66.67      50.00      +16.67  VeCLIP-B/16, 3M (VeCLIP, table 3)",
        "  single/mean_per_class_recall    66.67",
    ]
    assert "published" not in as_text(rows([BIRDS]))


def test_markdown_keeps_its_cells() -> None:
    odd = dataclasses.replace(BIRDS, task=dataclasses.replace(BIRDS.task, title="a|b\nc"))
    lines = as_markdown(rows([odd], published), ABOUT).splitlines()
    expected = (
        "| a\\|b c | single/top_1 | 66.67 | 50.00 | +16.67 | VeCLIP-B/16, 3M (VeCLIP, table 3) |"
        " 3 of 50,000 images, 2 classes |"
    )
    assert lines[2] == expected
    assert "- model.transform.mean: 0.5, 0.25" in lines
    assert not any("missing" in line or "id" in line for line in lines[4:])


def test_json_has_everything_unrounded() -> None:
    unknown = dataclasses.replace(BIRDS, metrics={"single/top_1": float("nan")})
    results = [LEFT_OUT, dataclasses.replace(unknown, task=dataclasses.replace(BIRDS.task, name="own"))]
    found = json.loads(as_json(rows(results, published), results, ABOUT))
    first, second = found["tasks"]
    assert (found["about"], first["metrics"]["single/top_1"]) == (ABOUT, 2 / 3)
    figure = {"value": 0.5, "difference": 2 / 3 - 0.5}
    named = {"model": "veclip_3m", "data": "3M", "source": "VeCLIP, table 3"}
    assert first["published"] == {"single/top_1": {**figure, **named}}
    assert (first["sizes"], first["protocol_images"]) == ({"images": 3, "classes": 2}, 50_000)
    assert first["rejects"][0]["code"] == "truncated"
    assert second["metrics"] == {"single/top_1": None}


def test_facts_are_texts_by_dotted_name() -> None:
    assert list(facts({"a": {"b": [1, 2]}, "c": None, "d": {}, "e": False})) == [
        ("a.b", "1, 2"),
        ("e", "False"),
    ]


def test_vtab_has_a_mean_when_all_nine_were_measured() -> None:
    nine = registry.groups()["vtab"]
    metrics = [{"clip/top_1": at / 10, "clip/top_5": 0.5} for at in range(9)]
    del metrics[3]["clip/top_5"]  # pcam has two classes
    results = [
        dataclasses.replace(BIRDS, task=registry.task(name), metrics=table)
        for name, table in zip(nine, metrics, strict=True)
    ]
    figure = dataclasses.replace(PAPER, value=0.3)
    table = rows(results, lambda task, metric: figure if task == "vtab" else None)
    assert [(row.task, row.metric, row.value) for row in table[17:]] == [
        ("vtab", "clip/top_1", pytest.approx(0.4))
    ]
    (mean,) = json.loads(as_json(table, results, {}))["means"]
    assert (mean["metric"], mean["published"]["difference"]) == ("clip/top_1", pytest.approx(0.1))
    assert all(row.task != "vtab" for row in rows(results[1:]))


def test_names_of_others_are_text_everywhere() -> None:
    """Of files, for one: control characters, tags, bytes that are no character."""
    odd = "a\x1b[31m\n# H <img src=x> & \udcff|"
    assert visible(odd) == "a\\x1b[31m\\x0a# H <img src=x> & \\udcff|"
    lines = as_markdown([], {"failed": {"own": odd}}).splitlines()
    assert lines[-1] == "- failed.own: a\\x1b[31m # H &lt;img src=x> &amp; \\udcff|"
