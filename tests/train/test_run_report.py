"""The report: the log is what is drawn, a resumed run has each step once, and no data becomes markup."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from engine.errors import UserError
from tests.engine.browser import AVAILABLE, REQUIRED, Browser
from train.report import main, write_report
from train.watch.report_charts import page_data
from train.watch.report_data import POINTS, Curve, read_run

HOSTILE = "</script><img src=x onerror=\"document.title='RAN'\">@DATA@ @SCRIPT@"


def write_run(folder: Path, steps: int, resumed: int | None = None, name: str = "run") -> Path:
    folder.mkdir(parents=True)
    taken = list(range(steps)) if resumed is None else [*range(resumed + 3), *range(resumed, steps)]
    lines = []
    for at, step in enumerate(taken):
        line: dict[str, Any] = {
            "step": step,
            "time": 100.0 + at,
            "loss/train/total": 5.0 - step / steps + 10 * (at == step),
        }
        if at == 0 or (resumed is not None and at == resumed + 3):
            line |= {"run/began": step, "run/steps": steps}
        if step % 5 == 4:
            line |= {
                "captions/vecap": 0.75,
                "steps/dropped": 0,
                "metrics/zeroshot/birds/single/top_1": step / steps,
            }
            line |= {"metrics/retrieval/loss/vec": 2.0, "data/new_thing": step}
        lines.append(json.dumps(line))
    (folder / "log.jsonl").write_text("\n".join([*lines[:4], '{"step": 3, "cut o', *lines[4:], "[]"]) + "\n")
    (folder / "config.yaml").write_text(
        f"run_name: {name}\nglobal_train_batch_size: 64\noptimizer: {{lr: {steps}}}\n"
    )
    return folder


def test_a_resumed_run_has_each_step_once(tmp_path: Path) -> None:
    """The steps after its checkpoint were taken twice; those of the process that lived count."""
    run = read_run(write_run(tmp_path / "r", 20, resumed=8))
    loss = run.curves["loss/train/total"]
    assert loss.steps == list(range(20))
    assert loss.values[8:] == pytest.approx([5.0 - step / 20 for step in range(8, 20)])
    assert loss.values[7] == pytest.approx(15.0 - 7 / 20)
    assert (run.resumed, run.total, run.steps, run.seconds) == ((8,), 20, 19, 22.0)


def test_long_curves_keep_their_mean_and_ends() -> None:
    curve = Curve(list(range(10_001)), [float(i % 7) for i in range(10_001)])
    thin = curve.thinned()
    assert len(thin.steps) == len(thin.values) == POINTS
    assert thin.steps == sorted(set(thin.steps))
    assert (thin.steps[-1], thin.values[-1]) == (10_000, curve.values[-1])
    assert sum(thin.values) / POINTS == pytest.approx(3, abs=0.01)
    short = Curve([1, 2], [3.0, 4.0])
    assert short.thinned() is short


def test_every_metric_is_drawn_and_the_figures_stand(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "r", 20)
    (folder / "results.json").write_text(
        json.dumps(
            {"run_name": "r", "step": 20, "image_to_text_r@1": 0.25, "images": 60, "loss/vec": float("nan")}
        )
    )
    (folder / "bad_steps.jsonl").write_text(
        json.dumps({"step": 3, "rank": 1, "loss": "nan", "keys": list("abcdef")}) + "\n"
    )
    data = page_data([read_run(folder)])
    charts = {chart["title"]: chart for chart in data["charts"]}
    assert list(charts) == [
        "Training loss",
        "Held-out loss by caption source",
        "Zero-shot birds",
        "Captions drawn by source",
        "data",
    ]
    (birds,) = charts["Zero-shot birds"]["series"]
    assert (birds["label"], birds["x"], birds["y"][-1]) == ("single/top 1", [4, 9, 14, 19], 0.95)
    assert charts["data"]["series"][0]["label"] == "new thing"
    assert {row["figure"]: row["values"] for row in data["table"]} == {
        "image_to_text_r@1": [0.25],
        "images": [60.0],
        "loss/vec": [None],
    }
    (facts,) = data["runs"]
    assert facts["bad"] == [{"step": "3", "rank": "1", "loss": "nan", "keys": "a, b, c and 3 more"}]
    assert (facts["finished"], facts["batch"], facts["bad_count"]) == (True, 64, 1)


def test_several_runs_say_what_differs(tmp_path: Path) -> None:
    folders = [write_run(tmp_path / name, steps) for name, steps in (("a", 10), ("b", 30))]
    data = page_data([read_run(folder) for folder in folders])
    assert data["settings"] == [["optimizer.lr", "10", "30"]]
    assert [s["run"] for s in data["charts"][0]["series"]] == [0, 1]
    assert [run["finished"] for run in data["runs"]] == [False, False]


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_run(tmp_path / "r", 12)
    assert main([str(folder)]) == 0
    assert "report.html: 1 run, " in capsys.readouterr().out
    assert (folder / "report.html").stat().st_size > 10_000
    assert main([str(tmp_path)]) == 1
    assert "no log.jsonl; expected the folder of a run" in capsys.readouterr().err
    with pytest.raises(UserError, match=r"no log\.jsonl"):
        write_report([tmp_path], tmp_path / "x.html")


def hostile_run(folder: Path) -> Path:
    write_run(folder, 30, resumed=12, name=json.dumps(HOSTILE))
    with (folder / "log.jsonl").open("a") as log:
        log.write(
            json.dumps({"step": 30, "time": 200, f"captions/{HOSTILE}": 0.5, f"{HOSTILE}/x": 1.0}) + "\n"
        )
    (folder / "results.json").write_text(json.dumps({f"zeroshot/{HOSTILE}/single/top_1": 0.5}))
    bad = {"step": 3, "rank": HOSTILE, "loss": HOSTILE, "gradient_norm": "nan", "keys": [HOSTILE]}
    (folder / "bad_steps.jsonl").write_text(json.dumps(bad) + "\n")
    return folder


def test_no_data_becomes_markup(tmp_path: Path) -> None:
    write_report([hostile_run(tmp_path / "<b>@DATA@")], tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text()
    assert text.count("</script>") == text.count("<script") == 2
    assert "<img" not in text
    assert "<b>" not in text
    assert not re.search(r"(?:src|href)\s*=\s*[\"']?https?:", text)


@pytest.mark.skipif(not AVAILABLE and not REQUIRED, reason="needs chromium and chromedriver")
def test_a_browser_draws_it_and_runs_nothing_of_it(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    write_report([hostile_run(tmp_path / "hostile"), write_run(tmp_path / "plain", 40)], page)
    with Browser() as browser:
        browser.open(page)
        assert browser.run("return document.querySelectorAll('figure').length") == 6
        assert (
            browser.run("return document.querySelectorAll('figure')[0].querySelectorAll('path.curve').length")
            == 4
        )
        assert browser.run("return document.querySelectorAll('.mark').length") >= 1
        assert browser.run("return document.querySelectorAll('#bad tbody tr').length") == 1
        read = """const s = document.querySelector('figure svg'), b = s.getBoundingClientRect();
        const at = {clientX: b.left + b.width * 60 / 560, clientY: b.top + 9};
        s.dispatchEvent(new PointerEvent('pointermove', at));
        return s.closest('figure').querySelector('figcaption').textContent"""
        assert "steps" in browser.run(read)
        axis = "const a = document.getElementById('axis'); a.value = 'samples';"
        browser.run(axis + "a.dispatchEvent(new Event('change'))")
        assert "samples" in browser.run(read)
        assert browser.run("return document.title") != "RAN"
        assert browser.run("return document.querySelectorAll('main img, main script').length") == 0
        assert browser.log() == []
