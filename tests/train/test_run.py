"""The real thing: Composer's launcher, two ranks, checkpoints, an interruption and its resumption."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import torch

from tests.train.run_kit import COMPOSER, ROOT, TORCHRUN, command, losses, run, wait_for_steps, weights
from train.keeping.checkpoints import read_tokenizer


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


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=["interrupted", "killed"])
def test_stopped_and_resumed_ends_in_the_same_weights(
    place: Path, undisturbed: Path, number: signal.Signals
) -> None:
    folder = place / "runs" / f"stopped-{number.name}"
    words = command(place, folder.name, "autoresume=true")
    process = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    wait_for_steps(folder, 6, process)  # beyond the first checkpoint, perhaps while the second is written
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    if number == signal.SIGINT:
        assert process.returncode == 130, errors[-3000:]
        assert errors.strip().splitlines()[-1].startswith("error: interrupted")
    assert not (folder / "results.json").exists()
    done = run(words)
    assert "512 samples" not in done.stdout  # it did not begin again
    assert_same_weights(undisturbed, folder)


ONE = (sys.executable,)


@pytest.mark.parametrize(
    ("begun", "continued"),
    [
        pytest.param(ONE, ONE, id="one"),
        pytest.param(COMPOSER, COMPOSER, id="two", marks=pytest.mark.slow),
        pytest.param(COMPOSER, ONE, id="two-one", marks=pytest.mark.slow),
        pytest.param(ONE, COMPOSER, id="one-two", marks=pytest.mark.slow),
    ],
)
def test_sigterm_saves_the_step_under_way(
    place: Path,
    undisturbed: Path,
    request: pytest.FixtureRequest,
    begun: tuple[str, ...],
    continued: tuple[str, ...],
) -> None:
    """At any step: checkpoints are due every 100 steps here, and the run goes on from there, on any number of
    ranks."""
    folder = place / "runs" / f"terminated-{request.node.callspec.id}"
    settings = folder.name, "autoresume=true", "save_interval=100ba"
    words = command(place, *settings, launcher=begun)
    process = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_for_steps(folder, 3, process)
    # As schedulers signal a whole group: the launcher, which tells its ranks, and one of these itself.
    for told in [process.pid, *(rank.pid for rank in psutil.Process(process.pid).children()[-1:])]:
        os.kill(told, signal.SIGTERM)
    _, errors = process.communicate(timeout=120)
    assert process.returncode != 0
    if begun == ONE:
        assert process.returncode == 143
        assert errors.strip().splitlines()[-1].startswith("stopped by SIGTERM after step"), errors[-2000:]
    saved = torch.load(folder / "latest-rank0.pt", weights_only=False)["state"]["timestamp"]["Timestamp"]
    assert 0 < saved["batch"] < 16
    run(command(place, *settings, launcher=continued))
    assert losses(folder) == pytest.approx(losses(undisturbed), rel=1e-3)
    if begun == continued == ONE:
        assert_same_weights(undisturbed, folder)


def assert_same_weights(expected: Path, found: Path) -> None:
    """Bit for bit."""
    wanted, got = weights(expected), weights(found)
    assert wanted.keys() == got.keys()
    for name, value in wanted.items():
        assert torch.equal(value, got[name]), name


@pytest.mark.slow
def test_sigterm_to_every_process_of_a_run(place: Path) -> None:
    """As Slurm does it; the loader's workers are needed for the step under way."""
    folder = place / "runs" / "all-told"
    words = command(place, folder.name, "save_interval=100ba", "data.num_workers=2")
    process = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_for_steps(folder, 2, process)
    for told in [*psutil.Process(process.pid).children(recursive=True), process]:
        os.kill(told.pid, signal.SIGTERM)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 143, errors[-3000:]
    assert (folder / "latest-rank0.pt").exists()


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["rank", "worker"])
def test_a_killed_process_ends_all_ranks_and_a_resume_repairs(
    place: Path, undisturbed: Path, victim: str
) -> None:
    """Nobody waits for the dead: not the other rank, not its workers, not the next run."""
    folder = place / "runs" / f"killed-{victim}"
    words = command(place, folder.name, "autoresume=true", "data.num_workers=1", launcher=COMPOSER)
    launcher = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 200
    while not (folder / "latest-rank0.pt").exists() and launcher.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    everybody = psutil.Process(launcher.pid).children(recursive=True)
    rank = next(p for p in psutil.Process(launcher.pid).children() if p.environ().get("RANK") == "1")
    (rank if victim == "rank" else loader_worker(rank)).kill()
    assert launcher.wait(timeout=120) != 0
    assert psutil.wait_procs(everybody, timeout=30)[1] == []
    run(words)
    found, expected = losses(folder), losses(undisturbed)
    assert found[15] == pytest.approx(expected[15], rel=1e-3)


def loader_worker(rank: psutil.Process) -> psutil.Process:
    """A child that torch's DataLoader forked: it has the command line of its parent."""
    return next(child for child in rank.children() if child.cmdline() == rank.cmdline())


def test_a_second_run_does_not_fall_over_the_first(place: Path, undisturbed: Path) -> None:
    done = run(command(place, "undisturbed"), code=1)
    assert done.stderr.strip().count("\n") == 0
    assert "autoresume=true" in done.stderr


def test_wrong_settings_are_one_line_and_exit_1(place: Path) -> None:
    done = run(command(place, "wrong", "optimizer.lrr=1"), code=1)
    assert done.stderr == "error: optimizer.lrr: unknown key (did you mean lr?)\n"


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
