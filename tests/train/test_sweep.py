"""A sweep over the tiny corpus: refusals before it begins, runs that fail, Ctrl-C, and going on."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from engine.errors import UserError
from tests.train.run_kit import ROOT, TINY
from train.config import load_config
from train.sweep.__main__ import main
from train.sweep.plan import Choice, load_sweep
from train.sweep.runs import LOCK, command

SWEEPS = sorted((ROOT / "yamls" / "sweeps").glob("*.yaml"))


def sweep_file(place: Path, name: str, **changes: object) -> Path:
    settings = [word.split("=", 1) for word in (*TINY, "max_duration=3ba", "save_interval=1ba")]
    values = {
        "recipe": str(ROOT / "yamls" / "tiny_cpu.yaml"),
        "folder": str(place / "sweeps" / name),
        "seeds": [1, 2],
        "baseline": "alt",
        "columns": {"R@10": "text_to_image_r@10", "loss": "loss/vecap"},
        "compare": "loss",
        "settings": {
            **{key: yaml.safe_load(text) for key, text in settings},
            "data.local": str(place / "train"),
            "retrieval.local": str(place / "test"),
        },
        "rows": {
            "alt": {"data.policy": {"weights": {"alttext": 1}}},
            "vecap": {"data.policy": {"weights": {"vecap": 1}}},
        },
    }
    path = place / f"sweep-{name}.yaml"
    path.write_text(yaml.safe_dump({**values, **changes}, sort_keys=False))
    return path


@pytest.mark.parametrize("path", SWEEPS, ids=lambda p: p.stem)
def test_shipped_sweeps_load(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    sweep = load_sweep(path, Choice())
    assert len(sweep.runs) == len(sweep.config.rows) * len(sweep.config.seeds)
    assert len({run.folder for run in sweep.runs}) == len(sweep.runs)


def test_the_ablation_has_the_papers_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    runs = load_sweep(Path("yamls/sweeps/ablation.yaml"), Choice()).runs
    policies = {run.row: run.config.data.policy for run in runs}
    assert {policies[f"alttext-{rule}"].within for rule in ("first", "random", "hcs")} == {
        "first",
        "random",
        "hcs",
    }
    assert all(policies[f"laclip-{k}"].weights.__len__() == k + 1 for k in (1, 2, 3, 4))
    shares = {}
    for row in ("vecap-25", "random-mixed", "vecap-75"):
        weights = policies[row].weights
        assert not isinstance(weights, str)
        shares[row] = weights["vecap"] / sum(weights.values())
    assert shares == {"vecap-25": 0.25, "random-mixed": 0.5, "vecap-75": 0.75}
    assert policies["hcs-mixed"].within == "hcs"


def test_a_run_is_the_trainers_own_command(place: Path) -> None:
    path = sweep_file(place, "words")
    sweep = load_sweep(path, Choice(["vecap"], [7], ["optimizer.lr=0.5"]))
    (run,) = sweep.runs
    words = command(sweep, run)
    assert words[1] == str(ROOT / "train" / "run.py")
    config = load_config(words[2], words[3:])
    assert (config.seed, config.data.seed, config.run_name) == (7, 7, "vecap-7")
    assert config.save_folder == str(place / "sweeps" / "words" / "vecap-7")
    assert (config.autoresume, config.optimizer.lr) == (True, 0.5)
    assert config.data.policy.weights == {"vecap": 1.0}
    two = load_sweep(sweep_file(place, "ranks", processes=2), Choice())
    assert command(two, two.runs[0])[1:4] == ["-n", "2", str(ROOT / "train" / "run.py")]


@pytest.mark.parametrize(
    ("changes", "choice", "message"),
    [
        ({}, Choice(rows=["vecapp"]), r"--rows: no 'vecapp' \(did you mean vecap\?\)"),
        ({"baseline": "alts"}, Choice(), r"baseline: no 'alts' \(did you mean alt\?\)"),
        ({"compare": "R@1"}, Choice(), r"compare: no 'R@1' \(did you mean R@10\?\)"),
        ({"sedes": [1]}, Choice(), r"sedes: unknown key \(did you mean seeds\?\)"),
        ({"seeds": [1, 1]}, Choice(), "expected different numbers"),
        ({"rows": {"alt": {"optimizer.lrr": 1}}}, Choice(), r"rows.alt: optimizer.lrr: unknown key \(did"),
        ({"rows": {"alt": {"seed": 1}}}, Choice(), "rows.alt: seed: cannot be set; each run has its own"),
        ({"rows": {"alt/x": {}}, "baseline": "alt/x"}, Choice(), "it names a folder"),
        ({}, Choice(words=["run_name=x"]), "run_name: cannot be set"),
    ],
)
def test_refused_before_anything_runs(
    place: Path, changes: dict[str, object], choice: Choice, message: str
) -> None:
    path = sweep_file(place, "refused", **changes)
    with pytest.raises(UserError, match=message):
        load_sweep(path, choice)
    assert not (place / "sweeps" / "refused").exists()


@pytest.mark.slow
def test_a_failing_row_does_not_keep_the_others_back(place: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """One of two rows cannot run; what is done is not done again; other settings are refused."""
    rows = {
        "alt": {"data.policy": {"weights": {"alttext": 1}}},
        "bad": {"data.policy": {"weights": {"vec": 1}}},
    }
    path = sweep_file(place, "fails", rows=rows, seeds=[1])
    assert main([str(path)]) == 1
    printed = capfd.readouterr()
    assert "[1/2] alt-1: done in" in printed.out
    assert "| alt | 1 |" in printed.out
    assert "error: bad-1: data.policy.weights.vec: unknown source" in printed.err
    assert not (place / "sweeps" / "fails" / "bad-1" / "results.json").exists()
    first = (place / "sweeps" / "fails" / "alt-1" / "results.json").stat().st_mtime_ns
    assert main([str(path), "--rows", "alt"]) == 0
    assert "1 of 1 runs are done" in capfd.readouterr().out
    assert (place / "sweeps" / "fails" / "alt-1" / "results.json").stat().st_mtime_ns == first
    assert main([str(path), "--table-only", "optimizer.lr=0.25"]) == 1
    assert "with other settings (optimizer.lr: 0.002 -> 0.25)" in capfd.readouterr().err


def test_one_sweep_at_a_time(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = sweep_file(place, "locked", seeds=[1])
    (place / "sweeps" / "locked").mkdir(parents=True)
    with (place / "sweeps" / "locked" / LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert main([str(path)]) == 1
    assert "another sweep, or a run of one, is at work" in capsys.readouterr().err


@pytest.mark.slow
def test_stopped_and_gone_on(place: Path) -> None:
    """One row, two seeds, SIGTERM in the middle of a run: the end is that of an undisturbed sweep."""
    words, longer = [sys.executable, "-m", "train.sweep"], "max_duration=16ba"
    rows = {"alt": {"data.policy": {"weights": {"alttext": 1}}}}
    assert main([str(sweep_file(place, "undisturbed", rows=rows)), longer]) == 0
    path = sweep_file(place, "stopped", rows=rows)
    process = subprocess.Popen([*words, str(path), longer], cwd=ROOT, stderr=subprocess.PIPE, text=True)
    saved, deadline = place / "sweeps" / "stopped" / "alt-1" / "latest-rank0.pt", time.monotonic() + 200
    while not saved.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGTERM)
    _, errors = process.communicate(timeout=100)
    assert process.returncode == 130, errors
    assert errors.strip().splitlines()[-1] == "stopped; the same command goes on from here"
    assert not (place / "sweeps" / "stopped" / "alt-2").exists()
    subprocess.run([*words, str(path), longer], cwd=ROOT, check=True, timeout=400)
    tables = [
        json.loads((place / "sweeps" / name / "table.json").read_text())
        for name in ("undisturbed", "stopped")
    ]
    assert tables[0] == tables[1]
    assert [len(row["seeds"]) for row in tables[0]["rows"]] == [2]
