"""benchmarks.training: parsers of both logs, statistics against repetition, tars, and all of it once."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.marks import END, put_into
from benchmarks.training.compare import compare, gap
from benchmarks.training.corpus import Pairs, write_tars
from benchmarks.training.logs import Log, read_theirs, step_of_line, their_line
from benchmarks.training.observe import Pace, TrainerFailedError, observe
from benchmarks.training.report import BEGIN
from benchmarks.training.rounds import Run
from benchmarks.training.task import OURS, THEIRS, Corpus, Settings, Task, theirs_command
from engine.errors import UserError
from engine.sources import SourceOptions, open_source

LINE = (
    "2026-01-02,03:04:05 | INFO | Train Epoch: 1 [ 640/2944 (22%)] Data (t): 0.003 Batch (t): 0.250, "
    "512.000/s, 512.000/s/gpu LR: 0.000976 Logit Scale: 14.260 Contrastive_loss: 4.7932 (4.8212) "
    "Loss: 4.7932 (4.8212)"
)


def pictures(folder: Path, count: int) -> Path:
    """A table of drawn pictures with two captions each."""
    draw = np.random.default_rng(0)
    (folder / "images").mkdir(parents=True)
    lines = []
    for number in range(count):
        pixels = np.full((48, 56, 3), draw.integers(0, 255, 3), np.uint8)
        Image.fromarray(pixels).save(folder / "images" / f"{number:03d}.jpg")
        lines += [f"{number:03d}.jpg#{k}\tpicture number {number} told {k}" for k in range(2)]
    (folder / "drawn.token.txt").write_text("\n".join(lines) + "\n")
    (folder / "held.txt").write_text("\n".join(f"{number:03d}.jpg" for number in range(8)))
    return folder / "drawn.token.txt"


def test_a_line_of_open_clip() -> None:
    step = their_line(LINE, batch=128)
    assert step is not None
    assert (step.step, step.loss, step.data_s, step.batch_s) == (28, 4.7932, 0.003, 0.25)
    assert their_line("2026-01-02 | INFO | Start epoch 1", 128) is None
    assert step_of_line("step 20/230  epoch 0  loss 4.8", 128) == 20
    assert step_of_line(LINE, 128) == 28


def test_waiting_is_weighted_by_steps_and_begins_behind_the_skipped_ones(tmp_path: Path) -> None:
    def line(samples: int, data: float, batch: float) -> str:
        return (
            LINE.replace("Epoch: 1", "Epoch: 0")
            .replace(" 640/", f"{samples}/")
            .replace("0.003", f"{data:.3f}")
            .replace("0.250", f"{batch:.3f}")
        )

    lines = [line(128, 9, 9), line(11 * 128, 0.1, 0.2), line(12 * 128, 0.5, 0.6), line(20 * 128, 0.0, 0.1)]
    (tmp_path / "out.log").write_text("\n".join(lines))
    log = read_theirs(tmp_path / "out.log", 128, skip=11)
    assert sorted(log.losses) == [1, 11, 12, 20]
    assert log.data_wait == pytest.approx((1 * 0.5 + 8 * 0.0) / (1 * 0.6 + 8 * 0.1))


def run(trainer: str, seed: int, level: float) -> Run:
    losses = {step: level + math.sin(step * seed) / 10 for step in range(1, 101)}
    pace = Pace(100, 10.0 * level, 20.0, 1.0, 2.0)
    return Run(trainer, seed, pace, Log(losses, 0.01), {"a_r@1": level / 10})


def test_the_error_of_a_gap_is_how_gaps_spread() -> None:
    """Over 4,000 repetitions with unequal spreads and numbers; 5 % is about twice their error."""
    draw = np.random.default_rng(0)
    gaps = [gap(draw.normal(3, 1, 5).tolist(), draw.normal(2, 3, 4).tolist()) for _ in range(4000)]
    differences, errors = [g.difference for g in gaps], [g.error or 0.0 for g in gaps]
    assert np.mean(differences) == pytest.approx(1, abs=0.08)
    assert np.mean(np.square(errors)) == pytest.approx(np.var(differences), rel=0.05)
    assert np.std(differences) == pytest.approx(math.sqrt(1 / 5 + 9 / 4), rel=0.05)
    equal = [gap(draw.normal(0, 1, 5).tolist(), draw.normal(0, 3, 3).tolist()) for _ in range(4000)]
    assert np.mean([g.within_noise for g in equal]) == pytest.approx(0.95, abs=0.02)
    assert gap([1.0], [2.0]).within_noise is None


def test_compared_runs() -> None:
    same = compare([run(name, seed, 3.0) for name in (OURS, THEIRS) for seed in (1, 2, 3)])
    assert same.ratios == [1.0] * 3
    assert same.second_half.difference == pytest.approx(0)
    assert same.second_half.within_noise
    other = compare(
        [run(name, seed, 3.0 + (name == THEIRS)) for name in (OURS, THEIRS) for seed in (1, 2, 3)]
    )
    assert other.ratios == pytest.approx([4 / 3] * 3)
    assert other.second_half.difference == pytest.approx(-1)
    assert not other.second_half.within_noise
    assert other.recalls["a_r@1"].difference == pytest.approx(-10)
    assert len(other.curve) == 10


def test_tars_hold_the_input_less_the_held_out(tmp_path: Path) -> None:
    table = pictures(tmp_path, 40)
    source = SourceOptions((str(table),))
    tars, count = write_tars(Pairs(source, tmp_path / "held.txt", None), tmp_path / "tars")
    assert count == 32
    packed = open_source(SourceOptions((tars,), captions={"caption": "txt"}))
    records = [record for unit in packed.units() for record in packed.read(unit)]
    assert sorted(r.captions["caption"][0].text for r in records) == sorted(
        f"picture number {n} told 0" for n in range(8, 40)
    )
    assert records[0].image == (tmp_path / "images" / "008.jpg").read_bytes()
    with pytest.raises(UserError, match="3 pairs; expected at least 8"):
        write_tars(Pairs(source, None, 3), tmp_path / "few")


def test_both_take_the_same_number_of_steps(tmp_path: Path) -> None:
    settings = Settings(32, 3, 1e-3, 4, "fp32", "cpu", 2, 5)
    task = Task("small", 20, 1, settings, Corpus("x.tar", 120, tmp_path, None), tmp_path)
    words = theirs_command(task)
    assert task.steps == 6  # 3 whole batches, of which 2 worker processes can share 2
    assert words[words.index("--train-num-samples") + 1] == str(2 * 32)
    assert task.recipe["max_duration"] == "6ba"


def test_a_trainer_that_fails_is_told(tmp_path: Path) -> None:
    with pytest.raises(TrainerFailedError, match="exit code 3"):
        observe([sys.executable, "-c", "print('no'); raise SystemExit(3)"], tmp_path / "log", 1, 0)
    with pytest.raises(TrainerFailedError, match="fewer than two lines"):
        observe([sys.executable, "-c", "print('step 1/2 ')"], tmp_path / "log", 1, 0)


@pytest.mark.slow
def test_the_whole_comparison(tmp_path: Path) -> None:
    """Real logs of both trainers: the first loss is of the same weights; chart and tables are there."""
    pytest.importorskip("open_clip_train")
    pytest.importorskip("matplotlib")
    table = pictures(tmp_path, 72)
    words = [str(table), "--held-out-keys", str(tmp_path / "held.txt"), "--batch", "16", "--epochs", "3"]
    words += ["--rounds", "1", "--context", "16", "--log-every", "1", "--warmup", "3", "--lr", "1e-4"]
    words += ["--work", str(tmp_path / "work"), "--out", str(tmp_path / "training")]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.training", *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    (row,) = json.loads((tmp_path / "training.json").read_text())["rows"]
    ours, theirs = row["runs"]
    assert list(ours["log"]["losses"]) == list(theirs["log"]["losses"]) == [str(n) for n in range(1, 13)]
    # Different samples, the same untrained weights: near each other, and near chance.
    assert ours["log"]["losses"]["1"] == pytest.approx(theirs["log"]["losses"]["1"], abs=0.5)
    assert ours["log"]["losses"]["1"] == pytest.approx(math.log(16), abs=0.5)
    assert set(ours["recalls"]) == set(theirs["recalls"])
    assert (tmp_path / "training.svg").read_text().count("<svg")
    assert "| small | 16 |" in (tmp_path / "training.md").read_text()


def test_tables_are_put_between_their_marks(tmp_path: Path) -> None:
    path = tmp_path / "training.md"
    put_into(path, "one", BEGIN)
    path.write_text(f"# Before\n\n{path.read_text()}\n## After\n")
    put_into(path, "two", BEGIN)
    assert path.read_text() == f"# Before\n\n{BEGIN}\n\ntwo\n{END}\n\n## After\n"
    path.write_text("# Other\n")
    with pytest.raises(UserError, match="has no lines"):
        put_into(path, "two", BEGIN)
    assert path.read_text() == "# Other\n"
