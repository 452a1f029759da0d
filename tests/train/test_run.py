"""The real thing: Composer's launcher, two ranks, checkpoints, an interruption and its resumption."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
import torch

from tests.train.run_kit import (
    COMPOSER,
    ROOT,
    TORCHRUN,
    command,
    losses,
    run,
    steps_logged,
    wait_for_steps,
    weights,
)
from train.keeping.checkpoints import read_tokenizer
from train.run import main


@pytest.mark.parametrize(
    ("name", "launcher"), [("two", COMPOSER), pytest.param("torchrun", TORCHRUN, marks=pytest.mark.slow)]
)
def test_two_ranks_train_as_one(place: Path, undisturbed: Path, name: str, launcher: tuple[str, ...]) -> None:
    """Of Composer's launcher and of PyTorch's, against plain python."""
    run(command(place, name, launcher=launcher))
    one, two = losses(undisturbed), losses(place / "runs" / name)
    assert len(one) == 16
    assert two == pytest.approx(one, rel=1e-3)
    assert one[15] < one[0] - 0.3
    results = [json.loads((f / "results.json").read_text()) for f in (undisturbed, place / "runs" / name)]
    assert results[0]["images"] == results[1]["images"] == 60
    # Rounding differs between the sums of one and of two ranks; a candidate or two may change places.
    assert results[1]["image_to_text_r@10"] == pytest.approx(results[0]["image_to_text_r@10"], abs=0.05)


def stopped(
    words: list[str], folder: Path, steps: int, stop: Callable[[psutil.Process], object]
) -> tuple[int, str]:
    """Exit code and last line of a run that is stopped after so many steps more than are logged."""
    before = len(steps_logged(folder))
    process = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    wait_for_steps(folder, before + steps, process)
    assert process.poll() is None, process.communicate()[1][-3000:]
    stop(psutil.Process(process.pid))
    _, errors = process.communicate(timeout=120)
    assert not (folder / "results.json").exists()
    return process.returncode, errors.strip().rpartition("\n")[2]


def terminate_all(run: psutil.Process) -> None:
    """As Slurm does it; the loader's workers are needed for the step under way."""
    for told in [*run.children(recursive=True), run]:
        told.terminate()


def terminate_some(run: psutil.Process) -> None:
    """As schedulers signal a whole group: the launcher, which tells its ranks, and one of these itself."""
    for told in [run, *run.children()[-1:]]:
        told.terminate()


def step_saved(folder: Path) -> int:
    saved = torch.load(folder / "latest-rank0.pt", weights_only=False)["state"]["timestamp"]["Timestamp"]
    return int(saved["batch"])


def test_stopped_in_three_ways_and_resumed_ends_in_the_same_weights(place: Path, undisturbed: Path) -> None:
    """SIGTERM saves the step under way, whatever the interval; Ctrl-C and SIGKILL leave the last
    checkpoint."""
    folder = place / "runs" / "stopped"
    words = command(place, folder.name, "autoresume=true")
    rarely = command(place, folder.name, "autoresume=true", "save_interval=100ba", "data.num_workers=2")
    code, said = stopped(rarely, folder, 3, terminate_all)
    assert code == 143, said
    assert said.startswith("stopped by SIGTERM after step"), said
    assert 3 <= step_saved(folder) < 16
    code, said = stopped(words, folder, 2, lambda run: run.send_signal(signal.SIGINT))
    assert code == 130, said
    assert said.startswith("error: interrupted")
    code, said = stopped(words, folder, 4, psutil.Process.kill)  # perhaps while a checkpoint is written
    assert code == -signal.SIGKILL, said
    done = run(words)
    assert "512 samples" not in done.stdout  # it did not begin again
    assert_same_weights(undisturbed, folder)


ONE = (sys.executable,)


@pytest.mark.slow
def test_sigterm_saves_the_step_under_way_for_any_number_of_ranks(place: Path, undisturbed: Path) -> None:
    """One rank, then two, then one; checkpoints are due every 100 steps here."""
    folder, settings = place / "runs" / "terminated", ("autoresume=true", "save_interval=100ba")
    one, two = (command(place, folder.name, *settings, launcher=launcher) for launcher in (ONE, COMPOSER))
    code, said = stopped(one, folder, 3, terminate_some)
    assert code == 143, said
    first = step_saved(folder)
    assert 3 <= first < 16
    code, said = stopped(two, folder, 3, terminate_some)
    assert code != 0, said
    assert first < step_saved(folder) < 16
    run(one)
    assert losses(folder) == pytest.approx(losses(undisturbed), rel=1e-3)


def assert_same_weights(expected: Path, found: Path) -> None:
    """Bit for bit."""
    wanted, got = weights(expected), weights(found)
    assert wanted.keys() == got.keys()
    for name, value in wanted.items():
        assert torch.equal(value, got[name]), name


@pytest.mark.slow
def test_a_killed_process_ends_all_ranks_and_a_resume_repairs(place: Path, undisturbed: Path) -> None:
    """Nobody waits for the dead: not the other rank, not its workers, not the next run."""
    folder = place / "runs" / "killed"
    words = command(place, folder.name, "autoresume=true", "data.num_workers=1", launcher=COMPOSER)
    kill_one_of(words, folder, 6, lambda rank: rank)  # a checkpoint is written after step 4
    kill_one_of(words, folder, 2, loader_worker)
    run(words)
    found, expected = losses(folder), losses(undisturbed)
    assert found[15] == pytest.approx(expected[15], rel=1e-3)


def kill_one_of(
    words: list[str], folder: Path, steps: int, choose: Callable[[psutil.Process], psutil.Process]
) -> None:
    """The second rank, or a process of it, after so many steps more than are logged; all of them end."""
    before = len(steps_logged(folder))
    launcher = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for_steps(folder, before + steps, launcher)
    everybody = psutil.Process(launcher.pid).children(recursive=True)
    rank = next(p for p in psutil.Process(launcher.pid).children() if p.environ().get("RANK") == "1")
    choose(rank).kill()
    assert launcher.wait(timeout=120) != 0
    assert psutil.wait_procs(everybody, timeout=30)[1] == []
    assert (folder / "latest-rank0.pt").exists()
    assert not (folder / "results.json").exists()


def loader_worker(rank: psutil.Process) -> psutil.Process:
    """A child that torch's DataLoader forked: it has the command line of its parent."""
    return next(child for child in rank.children() if child.cmdline() == rank.cmdline())


def test_a_second_run_does_not_fall_over_the_first(place: Path, undisturbed: Path) -> None:
    done = run(command(place, "undisturbed"), code=1)
    assert done.stderr.strip().count("\n") == 0
    assert "autoresume=true" in done.stderr


def test_wrong_settings_are_one_line_and_exit_1(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = signal.getsignal(signal.SIGTERM)
    try:
        assert main(command(place, "wrong", "optimizer.lrr=1")[2:]) == 1
    finally:
        signal.signal(signal.SIGTERM, before)
    assert capsys.readouterr().err == "error: optimizer.lrr: unknown key (did you mean lr?)\n"


def test_help_is_quick_and_usage_errors_exit_2() -> None:
    began = time.monotonic()
    assert "examples:" in run([sys.executable, "train/run.py", "--help"]).stdout
    assert time.monotonic() - began < 1 + 2 * os.getloadavg()[0] / (os.cpu_count() or 1)
    run([sys.executable, "train/run.py"], code=2)


def test_missing_data_is_named(tmp_path: Path) -> None:
    with pytest.raises(Exception, match=r"dataset\.json: cannot read the tokenizer"):
        read_tokenizer(tmp_path)


def test_the_log_says_what_reading_did(undisturbed: Path) -> None:
    lines = [json.loads(line) for line in (undisturbed / "log.jsonl").read_text().splitlines()]
    logged = [line for line in lines if "throughput/samples_per_sec" in line]
    assert len(logged) == 16
    last = logged[-1]
    assert last["throughput/samples_per_sec"] > 0
    assert 0 <= last["throughput/data_wait_fraction"] <= 1
    assert last["captions/alttext"] + last["captions/vecap"] == pytest.approx(1)
    assert all(line[f"data/{stage}_ms"] >= 0 for line in logged for stage in ("fetch", "gather", "captions"))
    assert max(line["data/decode_ms"] for line in logged) > 0
    assert last["data/bytes_read"] > 10_000
    norms = [line["l2_norm/grad"] for line in lines if "l2_norm/grad" in line]
    assert len(norms) == 16
    assert 0 < min(norms) <= max(norms) < 1e3
    assert 3 < last["texts/mean_tokens"] < 77
    assert 0 <= last["texts/duplicates"] <= 1
    assert (last["data/bad_samples"], last["data/shards_fetched"], last["data/cache_hits"]) == (0, 0, 1)
