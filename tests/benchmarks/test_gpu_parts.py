"""benchmarks.gpu in parts: the time limit, the result file, what fails, the card, figures and report."""

from __future__ import annotations

import io
import json
import os
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from benchmarks.gpu import session as sessions
from benchmarks.gpu.board import DONE, DROPPED, FAILED, Board, Row
from benchmarks.gpu.card import CardWatch, find_card
from benchmarks.gpu.figures import loaders, trainings
from benchmarks.gpu.photos import draw_caption, draw_photo
from benchmarks.gpu.pixels import compare, is_right
from benchmarks.gpu.plan import SOURCES, Measurement, plan
from benchmarks.gpu.report import BEGIN, markdown
from benchmarks.gpu.runner import run
from benchmarks.gpu.session import REPORT_S, Session
from benchmarks.gpu.settings import Settings, choose
from benchmarks.gpu.task import Task, describe
from benchmarks.gpu.training import command, our_figures, trainer_task
from benchmarks.marks import END
from engine.errors import UserError

QUICK = choose("cpu", None, True, 0.0)
FACTS = {"machine": "a machine", "card": None, "versions": {"torch": "2.9"}, "errors": {}, "cuda": None}


def board(tmp_path: Path, settings: Settings = QUICK) -> Board:
    return Board(tmp_path / "out.json", settings, dict(FACTS))


class Clock:
    """time.monotonic that only measurements move on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, takes: dict[str, float]) -> None:
        self.now, self.takes, self.made = 0.0, takes, list[str]()
        monkeypatch.setattr(sessions.time, "monotonic", lambda: self.now)
        monkeypatch.setattr(sessions, "run", self.run)

    def run(self, task: Task, limit_s: float) -> Row:
        self.made.append(task.name)
        took = min(limit_s, self.takes[task.name])
        self.now += took
        if took < self.takes[task.name]:
            return {"status": FAILED, "reason": "too slow", "seconds": took}
        return {"status": DONE, "seconds": took, "result": {}}


def measure(made: Board, tmp_path: Path, wanted: list[Measurement], seconds: float) -> list[str]:
    data = Task("data", str(tmp_path), "data", made.settings, {}).data
    data.root.mkdir(exist_ok=True)
    data.mark.write_text(describe(made.settings))
    return Session(made, tmp_path, seconds + REPORT_S).measure(wanted)


def test_what_is_least_important_is_dropped_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = [Measurement(name, "pixels", 30) for name in ("a/x", "b/x", "c/x")]
    clock = Clock(monkeypatch, {"a/x": 20, "b/x": 50, "c/x": 20})
    made = board(tmp_path)
    assert measure(made, tmp_path, wanted, 80) == []
    assert {name: row["status"] for name, row in made.rows.items()} == {
        "a/x": DONE,
        "b/x": DONE,
        "c/x": DROPPED,
    }
    assert "10 s were left" in made.rows["c/x"]["reason"]
    assert clock.made == ["a/x", "b/x"]


def test_what_was_measured_says_how_long_its_like_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = [Measurement(name, "pixels", 30) for name in ("a/x/1", "a/x/2", "a/y/1")]
    clock = Clock(monkeypatch, {"a/x/1": 60, "a/x/2": 60, "a/y/1": 30})
    measure(board(tmp_path), tmp_path, wanted, 100)
    assert clock.made == ["a/x/1", "a/y/1"]  # 40 s were left: not for another 60, but for 30


def test_what_the_end_of_the_time_stops_was_dropped_and_did_not_fail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Clock(monkeypatch, {"a": 70})
    made = board(tmp_path)
    assert measure(made, tmp_path, [Measurement("a", "pixels", 20)], 50) == []
    assert made.rows["a"]["status"] == DROPPED


def test_a_later_run_makes_what_is_missing_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch, dict.fromkeys("abc", 10.0))
    made = board(tmp_path)
    made.put("a", {"status": DONE, "result": {}, "seconds": 1})
    made.put("b", {"status": FAILED, "reason": "lacked a package"})
    made.put("c", {"status": DROPPED, "reason": "no time"})
    later = board(tmp_path)
    later.take_over()
    assert list(later.rows) == ["a"]
    measure(later, tmp_path, [Measurement(name, "pixels", 10) for name in "abc"], 100)
    assert clock.made == ["b", "c"]
    assert [row["status"] for row in json.loads(later.path.read_text())["rows"].values()] == [DONE] * 3


def test_results_of_other_settings_are_not_gone_on_with(tmp_path: Path) -> None:
    board(tmp_path).put("a", {"status": DONE, "result": {}})
    with pytest.raises(UserError, match=r"made with settings .*--fresh"):
        board(tmp_path, replace(QUICK, steps=9)).take_over()
    other = board(tmp_path)
    other.facts["card"] = "another card"
    with pytest.raises(UserError, match="made with card None"):
        other.take_over()


def test_the_order_of_the_plan() -> None:
    """Correctness, loaders, training, the rest; a quick plan has every kind once."""
    full = plan(choose("cuda", None, False, 80.0))
    names = [one.name for one in full]
    assert len(set(names)) == len(names)
    first = [name.split("/")[0] for name in names]
    assert [first.index(kind) for kind in ("pixels", "loader", "training", "decoder")] == [0, 8, 14, 22]
    assert {one.name.rsplit("/", 1)[1] for one in full[8:28]} == {"round 1"}
    sources = ["ceiling", "native", "dali", "open_clip"]
    assert [one.choice["source"] for one in full[14:22]] == sources * 2
    quick = plan(QUICK)
    assert {one.kind for one in quick} == {one.kind for one in full}
    assert sum(one.expected_s for one in full[:22]) < 15 * 60


def test_what_fails_is_recorded_with_its_reason(tmp_path: Path) -> None:
    def task(kind: str, **choice: Any) -> Task:
        return Task(kind, str(tmp_path), f"{kind}/x", QUICK, choice)

    row = run(task("no_such_kind"), 60)
    assert row["status"] == FAILED
    assert row["reason"] == "ModuleNotFoundError: No module named 'benchmarks.gpu.no_such_kind'"
    assert row["log"][0].startswith("Traceback")
    empty = replace(task("data"), settings=replace(QUICK, images=f"{tmp_path}/no\n such folder"))
    assert run(empty, 60)["reason"] == f"engine.errors.UserError: --images {tmp_path}/no"
    assert run(task("data"), 0.01)["reason"] == "not done within 0 s"


SMI = """#!/bin/sh
case "$*" in
  *-lms*) echo "500, 0"; sleep 0.3; echo "[N/A], 3"; while true; do echo "2500, 80"; sleep 0.05; done ;;
  *) echo "NVIDIA H100 80GB HBM3, 81559, 580.159.04" ;;
esac
"""


def test_the_card_is_read_from_outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text(SMI)
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    card = find_card()
    assert card is not None
    assert (card.name, round(card.memory_gib, 1), card.driver) == (
        "NVIDIA H100 80GB HBM3",
        79.6,
        "580.159.04",
    )
    with CardWatch(wanted=True) as watch:
        began = time.time()
        time.sleep(0.6)
    assert watch.memory_mib() == 2000
    assert watch.busy((began, time.time())) == pytest.approx(0.8)
    assert watch.busy((0, 1)) is None
    with CardWatch(wanted=False) as off:
        assert off.memory_mib() is None


def test_drawn_photos_are_like_photographs() -> None:
    photos = [draw_photo(number) for number in range(6)]
    assert photos[3] == draw_photo(3)
    sizes = [Image.open(io.BytesIO(data)).size for data in photos]
    assert len(set(sizes)) == 6
    bits = [8 * len(data) / (width * height) for data, (width, height) in zip(photos, sizes, strict=True)]
    assert 0.5 < np.median(bits) < 5  # ImageNet's: 1.2 to 8.8, the median 4.3
    assert 3 <= len(draw_caption(5).split()) <= 30


def test_psnr_of_a_known_difference() -> None:
    reference = np.full((3, 3, 8, 8), 100, np.uint8)
    ours = reference.copy()
    ours[1] += 1
    ours[2, 0, 0, 0] = 90
    found = compare(ours, reference)
    assert (found["images"], found["equal"], found["max_diff"]) == (3, 1, 10)
    assert found["psnr_min"] == pytest.approx(20 * np.log10(255))
    assert found["psnr_mean"] == pytest.approx((20 * np.log10(255) + 10 * np.log10(255**2 * 1.92)) / 2)
    assert compare(reference, reference)["psnr_min"] is None


def test_wrong_pixels_or_captions_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    right = {"psnr_min": 40.0, "psnr_min_bfloat16": None, "same_keys": True}
    assert is_right(right)
    assert not is_right(right | {"psnr_min_bfloat16": 37.9})
    assert not is_right(right | {"same_captions_bfloat16": False})
    made = board(tmp_path)
    made.put("a", {"status": DONE, "result": {"right": False}})
    made.put("b", {"status": DONE, "result": {"right": True}})
    wanted = [Measurement(name, "pixels", 10) for name in "ab"]
    assert measure(made, tmp_path, wanted, 100) == ["a"]


def loader_row(decoder: str, number: int, rate: float) -> Row:
    choice = {"form": "small", "decoder": decoder, "threads": 4, "dtype": "uint8", "round": number}
    result = {"images_per_s": rate, "cpu_s_per_1000": 1.0, "first_batch_s": 2.0, "left_to_native": 0}
    return {"status": DONE, "choice": choice, "result": result, "seconds": 3.0}


def training_row(source: str, form: str, rate: float) -> Row:
    choice = {"model": "ViT-B-16", "form": form, "source": source, "round": 1}
    result = {"samples_per_s": rate, "batch": 256, "cpu_s_per_1000": 3.0, "data_wait": 0.015, "mfu": 0.4}
    return {"status": DONE, "choice": choice, "result": {**result, "gpu_mib": 31000.0, "gpu_busy": 0.97}}


ROWS: dict[str, Row] = {
    "data": {"status": DONE, "result": {"samples": 192, "small_kb": 25.4, "originals_kb": 125.0}},
    "loader/1": loader_row("native", 1, 1000.0),
    "loader/2": loader_row("dali", 1, 2000.0),
    "loader/3": loader_row("native", 2, 500.0),
    "loader/4": loader_row("dali", 2, 1500.0),
    "training/1": training_row("ceiling", "small", 2000.0),
    "training/2": training_row("dali", "small", 1900.0),
    "training/3": training_row("native", "originals", 1000.0),
    "training/4": {"status": FAILED, "reason": "ModuleNotFoundError: No module named 'open_clip_train'"},
    "training/5": {"status": DROPPED, "reason": "no time: 3 s were left"},
}


def test_ratios_are_within_a_round() -> None:
    native, dali = loaders(ROWS, "loader")
    assert (native.ratio, dali.ratio) == (1.0, 2.5)
    assert (dali.rate, dali.rates) == (1750.0, [2000.0, 1500.0])
    assert [figure.ratio for figure in trainings(ROWS)] == [1.0, 0.95, 0.5]


def test_the_report_has_all_figures_and_what_is_missing(tmp_path: Path) -> None:
    made = board(tmp_path)
    made.rows = ROWS
    text = markdown(made)
    assert "| dali, small, uint8 | 4 | 1,750 (1,500 to 2,000) | 2.50 | 1.00 |" in text
    assert "| ViT-B-16, small: dali | 256 | 1,900 | 0.95 | 1.5% | 40.0% | 3.00 | 31,000 | 97% |" in text
    assert "- training/4: failed: ModuleNotFoundError: No module named 'open_clip_train'" in text
    assert "- training/5: dropped: no time" in text
    assert "24 drawn images: originals 125 kB, stored small 25 kB on average" in text
    assert "no GPU: the figures only show that everything runs" in text
    page = (Path(__file__).parents[2] / "docs" / "results" / "gpu.md").read_text(encoding="utf-8")
    assert page.index(BEGIN) < page.index(END)


def test_trainers_are_asked_for_the_same_and_save_nothing(tmp_path: Path) -> None:
    settings = replace(choose("cuda", None, False, 80.0), steps=20)
    commands = {}
    for source in SOURCES:
        choice = {"model": "ViT-L-14", "form": "small", "source": source, "round": 1}
        task = Task("training", str(tmp_path), f"training/{source}", settings, choice)
        task.data.tars("small").mkdir(parents=True, exist_ok=True)
        for number in range(16):
            (task.data.tars("small") / f"{number:05d}.tar").touch()
        commands[source] = command(task, trainer_task(task)), yaml.safe_load(recipe_of(task))
    words, recipe = commands["open_clip"][0], commands["dali"][1]
    theirs = dict(zip(words[3::2], words[4::2], strict=True))
    assert (theirs["--model"], theirs["--batch-size"], theirs["--precision"]) == (
        "ViT-L-14",
        "128",
        "amp_bf16",
    )
    assert Path(theirs["--name"]).is_relative_to(tmp_path)  # else it would write where it was started
    steps = int(theirs["--train-num-samples"]) // 128
    assert steps >= 20
    assert steps % int(theirs["--workers"]) == 0
    assert (recipe["max_duration"], recipe["global_train_batch_size"]) == (f"{steps}ba", 128)
    for source, script in (("native", "train/run.py"), ("dali", "train/run.py"), ("ceiling", "gpu.constant")):
        assert "save_folder=null" in commands[source][0]
        assert any(word.endswith(script) for word in commands[source][0])
    assert "data.decoder=dali" in commands["dali"][0]


def recipe_of(task: Task) -> str:
    path = task.folder / "recipe.yaml"
    return path.read_text() if path.exists() else ""


def test_waiting_is_read_off_our_trainers_lines(tmp_path: Path) -> None:
    line = "step {}/48  epoch 0  loss 4.8  grad 1.00  lr 1.00e-04  scale 14.3  2,100 samples/s  wait {}%{}"
    text = [line.format(4, 90.0, ""), line.format(8, 1.0, "  MFU 30.0%"), line.format(12, 3.0, "  MFU 31.0%")]
    (tmp_path / "log").write_text("\n".join(["other", *text]))
    assert our_figures(tmp_path / "log", 4) == {
        "data_wait": pytest.approx(0.02),
        "mfu": pytest.approx(0.305),
    }


def test_decoders_alone_need_neither_streaming_nor_composer() -> None:
    """A machine may lack them; the command itself needs no torch either."""
    modules = "decoding, data, pixels, training, facts, child"
    without = "import sys; sys.modules.update(streaming=None, composer=None{})"
    for code in (
        f"{without.format('')}; from benchmarks.gpu import {modules}",
        f"{without.format(', torch=None')}; from benchmarks.gpu import __main__",
    ):
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr


def test_the_ceilings_batch_is_always_the_same() -> None:
    from benchmarks.gpu.constant import ConstantLoader

    class Loader:
        closed, made, name = False, 0, "real"
        batches: Iterator[dict[str, Any]]  # held, so that forgetting them closes nothing

        def __len__(self) -> int:
            return 3

        def __iter__(self) -> Iterator[dict[str, Any]]:
            self.batches = self.make()
            return self.batches

        def make(self) -> Iterator[dict[str, Any]]:
            try:
                while True:
                    self.made += 1
                    yield {"image": torch.full((2,), self.made), "key": ["a", "b"]}
            finally:
                self.closed = True

    real = Loader()
    constant = ConstantLoader(real)  # type: ignore[arg-type]
    batches = [*constant, *constant]
    assert [batch["image"].tolist() for batch in batches] == [[1, 1]] * 6
    assert (real.made, real.closed, constant.name, batches[0]["key"]) == (1, True, "real", ["a", "b"])
