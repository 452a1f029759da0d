"""The report: the worst are the worst by their definition, and nothing of the data becomes markup."""

from __future__ import annotations

import dataclasses
import json
import re
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.records import Reject
from tests.engine.browser import AVAILABLE, REQUIRED, Browser
from tests.train.evaluate.results_kit import HOSTILE, Drawn, Gone, class_result, retrieval_result
from train.evaluate import registry
from train.evaluate.published import Figure
from train.evaluate.report import write_report
from train.evaluate.report.worst import confusions, furthest, weakest
from train.evaluate.report.write import page_data
from train.evaluate.results import TaskResult
from train.evaluate.table import rows

CLASSES = st.integers(0, 4)


@given(st.lists(st.integers(-1, 5), max_size=12), st.integers(1, 12))
def test_the_furthest_come_first(places: list[int], count: int) -> None:
    expected = sorted((at for at, place in enumerate(places) if place > 0), key=lambda at: (-places[at], at))
    assert furthest(np.array(places, int), count) == expected[:count]


@given(st.lists(st.tuples(CLASSES, CLASSES), min_size=1, max_size=30), st.integers(1, 6))
def test_confusions_and_weak_classes_are_counted(pairs: list[tuple[int, int]], count: int) -> None:
    label, found = (np.array(column) for column in zip(*pairs, strict=True))
    images = Counter(label.tolist())
    wrong = Counter(pair for pair in pairs if pair[0] != pair[1])
    expected = sorted(wrong, key=lambda pair: (-wrong[pair], images[pair[0]], pair))[:count]
    chosen, kinds = confusions(label, found, count, 2)
    assert kinds == len(wrong)
    assert [(c.label, c.taken_for) for c in chosen] == expected
    for c in chosen:
        mine = (c.label, c.taken_for)
        assert (c.count, c.images) == (wrong[mine], images[c.label])
        assert c.examples.tolist() == [at for at, pair in enumerate(pairs) if pair == mine][:2]
    right = Counter(a for a, b in pairs if a == b)
    missed = [c for c in images if right[c] < images[c]]
    order = sorted(missed, key=lambda c: (right[c] / images[c], -images[c], c))[:count]
    weak = weakest(label, found, count)
    assert [(w.label, w.right, w.images) for w in weak] == [(c, right[c], images[c]) for c in order]
    for w in weak:
        others = {b: n for (a, b), n in wrong.items() if a == w.label}
        assert (w.count, w.taken_for) == min((n, b) for b, n in others.items() if n == max(others.values()))


def everything() -> list[TaskResult]:
    rng = np.random.default_rng(3)
    label = np.repeat(np.arange(6), 8)
    found = np.where(rng.random(48) < 0.4, label, (label + rng.integers(1, 3, 48)) % 6)
    names = [
        "wren",
        "great tit",
        "blue jay",
        "house finch",
        "indigo bunting",
        "a bird with quite a long name",
    ]
    keys = [f"k{at}" for at in range(48)]
    birds = class_result(label.tolist(), found.tolist(), names, Drawn(keys, broken={"k0"}))
    reject = Reject("k48", "image", "truncated", "ends in the scan", "birds.tar")
    no_detail = dataclasses.replace(birds, task=dataclasses.replace(birds.task, name="gpr"), detail=None)
    return [dataclasses.replace(birds, rejects=(reject,)), retrieval_result(40, 5, 1), no_detail]


def published(task: str, metric: str) -> Figure | None:
    return (
        Figure("veclip_3m", "VeCLIP-B/16", "3M", 0.5, "VeCLIP, table 3")
        if metric.endswith(("top_1", "r@1"))
        else None
    )


def test_the_page_shows_what_stands_furthest_back() -> None:
    results = everything()
    about = {"model": "tiny", "missing": {"coco": "not there"}, "failed": {"dtd": "broken"}}
    data = page_data(results, rows(results, published), about)
    assert (data["about"], data["absent"]) == (
        [("model", "tiny")],
        [("coco", "not there"), ("dtd", "broken")],
    )
    shown = data["tasks"][1]["retrieval"]
    detail: Any = results[1].detail
    places = [worst["place"] - 1 for worst in shown["to_image"]["worst"]]
    assert places == sorted(detail.text_place.tolist(), reverse=True)[: len(places)]
    worst = shown["to_text"]["worst"][0]
    image = int(np.argmax(detail.image_place))
    assert worst["key"] == detail.keys[image]
    assert worst["own"] == [
        text for text, own in zip(detail.texts, detail.image_of_text, strict=True) if own == image
    ]
    assert [found["text"] for found in worst["found"]] == [detail.texts[i] for i in detail.image_best[image]]
    assert not worst["found"][0]["own"]
    assert data["pictures"][worst["picture"]]["uri"].startswith("data:image/jpeg;base64,")
    assert shown["to_text"]["missed"] == int((detail.image_place > 0).sum())
    # Each picture once, and the set is asked once.
    asked = results[1].pictures
    assert isinstance(asked, Drawn)
    assert len(asked.asked) == len(set(asked.asked)) <= 56
    birds = data["tasks"][0]["classes"]
    assert birds["wrong"] == 48 - round(48 * results[0].metrics["single/top_1"])
    states = [picture["state"] for picture in data["pictures"]]
    assert set(states) <= {"", "image cannot be decoded"}


def test_the_same_results_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        results = everything()
        write_report(tmp_path / name, results, rows(results, published), {"model": {"name": "tiny"}})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert (tmp_path / "a").stat().st_size < 400_000


def test_a_set_that_is_gone_leaves_the_figures(tmp_path: Path) -> None:
    gone = class_result([0, 1], [1, 1], ["wren", "tit"], Gone([]))
    data = page_data([gone], rows([gone]), {})
    assert {picture["state"] for picture in data["pictures"]} == {"the set could not be read again"}


def test_long_captions_are_cut() -> None:
    long = retrieval_result(12, 1, 2, texts=["a" * 100_000] * 12)
    assert len(json.dumps(page_data([long], [], {}))) < 60_000


def hostile() -> list[TaskResult]:
    keys = [f"{HOSTILE}{at}" for at in range(6)]
    retrieval = retrieval_result(6, 2, 5, keys, [HOSTILE] * 12)
    classes = class_result([0, 0, 1], [1, 1, 0], [HOSTILE, f"{HOSTILE} 2"])
    task = dataclasses.replace(classes.task, title=HOSTILE, name=HOSTILE)
    reject = Reject(HOSTILE, "image", "truncated", HOSTILE, HOSTILE)
    return [retrieval, dataclasses.replace(classes, task=task, where=HOSTILE, rejects=(reject,))]


def write_hostile(page: Path) -> None:
    results = hostile()
    figure = Figure(HOSTILE, HOSTILE, HOSTILE, 0.5, HOSTILE)
    table = rows(results, lambda task, metric: figure)
    # A title is a name that the user gave; as UTF-8, it has no lone surrogates.
    write_report(page, results, table, {"model": {"name": HOSTILE[:-1], HOSTILE: HOSTILE}})


def test_no_data_becomes_markup(tmp_path: Path) -> None:
    write_hostile(tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text()
    assert text.count("</script>") == text.count("<script") == 2
    assert "<img" not in text
    assert not re.search(r"(?:src|href)\s*=\s*[\"']?https?:", text)


HEADINGS = "return [...document.querySelectorAll('h1,h2,h3,h4')].map(e => Number(e.tagName[1]))"
WIDEST = "return document.documentElement.scrollWidth"


@pytest.mark.skipif(not AVAILABLE and not REQUIRED, reason="needs chromium and chromedriver")
def test_a_browser_draws_it_for_everyone(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    results = everything()
    write_report(page, results, rows(results, published), {"model": {"name": "tiny"}})
    with Browser() as browser:
        browser.open(page)
        assert browser.log() == []
        table = "[...document.querySelectorAll('#table tbody')]"
        assert browser.run(f"return {table}.map(e => e.rows.length)") == [3, 3, 3]
        assert browser.run(f"return {table}[0].rows[1].cells[2].textContent") == "50.00"
        assert browser.run("return document.querySelectorAll('#task-1 .card').length") == 16
        assert browser.run("return document.querySelectorAll('#task-0 .card').length") == 8
        assert browser.run("return [...document.images].every(e => e.hasAttribute('alt'))")
        decoded = "i.scrollIntoView(); return i.decode().then(() => i.naturalHeight)"
        assert browser.run(f"const i = document.images[0]; {decoded}") == 128
        levels = browser.run(HEADINGS)
        assert levels[0] == 1
        assert all(b - a <= 1 for a, b in pairwise(levels))
        links = browser.run(
            "return [...document.querySelectorAll('a')].map(e => e.getAttribute('href').slice(1))"
        )
        assert all(browser.run(f"return document.getElementById({json.dumps(to)}) !== null") for to in links)
        unreachable = """return [...document.querySelectorAll('.scroll')]
            .filter(e => e.tabIndex !== 0 || !e.getAttribute('aria-label')).length"""
        assert browser.run(unreachable) == 0
        browser.run("document.getElementById('scheme').click()")
        assert browser.run("return document.documentElement.style.colorScheme") in ("dark", "light")
        browser.resize(375, 800)
        assert browser.run(WIDEST) == 375


@pytest.mark.skipif(not AVAILABLE and not REQUIRED, reason="needs chromium and chromedriver")
def test_a_browser_shows_the_mean_behind_the_tasks(tmp_path: Path) -> None:
    page, birds = tmp_path / "page.html", everything()[2]
    nine = [
        dataclasses.replace(birds, task=registry.task(name), metrics={"clip/top_1": 0.4, "clip/top_5": 0.6})
        for name in registry.groups()["vtab"]
    ]
    write_report(page, nine, rows(nine, published), {"model": {"name": "tiny"}})
    with Browser() as browser:
        browser.open(page)
        assert browser.log() == []
        texts = "return [...document.querySelectorAll('#table tbody')].map(e => e.innerText)"
        *tasks, mean = browser.run(texts)
    assert len(tasks) == 9
    assert mean.startswith("VTAB, mean of 9")
    assert all(cell in mean for cell in ("40.00", "50.00", "\u221210.00", "VeCLIP, table 3"))


@pytest.mark.skipif(not AVAILABLE and not REQUIRED, reason="needs chromium and chromedriver")
def test_a_browser_runs_nothing_of_it(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    write_hostile(page)
    with Browser() as browser:
        browser.open(page)
        assert browser.log() == []
        browser.run("return new Promise(done => setTimeout(done, 200))")
        assert browser.run("return document.title") != "RAN"
        assert browser.run("return document.scripts.length") == 2
        assert browser.run("return [...document.images].filter(e => !e.src.startsWith('data:')).length") == 0
        shown = browser.run("return document.querySelector('#task-0 .side li').textContent.toWellFormed()")
        assert "onerror" in shown
        assert "U+202E" in shown
        browser.resize(375, 800)
        assert browser.run(WIDEST) == 375
