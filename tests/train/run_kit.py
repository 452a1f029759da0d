"""Whole runs of train/run.py on a small corpus, as subprocesses."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch

from train.evaluate.__main__ import main as evaluate

ROOT = Path(__file__).parents[2]
TINY = [
    "model={embed_dim: 32, vision: {image_size: 32, layers: 2, width: 64, patch_size: 8, head_width: 32},"
    " text: {layers: 1, width: 64, heads: 2}}",
    "global_train_batch_size=32",
    "max_duration=16ba",
    "save_interval=4ba",
    "save_num_checkpoints_to_keep=-1",
    "log_interval=1",
    "optimizer.lr=2e-3",
]
COMPOSER = (str(Path(sys.executable).parent / "composer"), "-n", "2")
TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")


def command(place: Path, name: str, *more: str, launcher: tuple[str, ...] = (sys.executable,)) -> list[str]:
    data = [f"data.local={place / 'train'}", f"retrieval.local={place / 'test'}"]
    where = [f"run_name={name}", f"save_folder={place}/runs/{name}"]
    return [*launcher, "train/run.py", "yamls/tiny_cpu.yaml", *TINY, *data, *where, *more]


def run(words: list[str], code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == code, done.stdout[-3000:] + done.stderr[-3000:]
    return done


def evaluated(model: Path, out: Path, tasks: str, *more: str) -> dict[str, Any]:
    """What train.evaluate writes as JSON, from this process."""
    words = [str(model), "--tasks", tasks, "--out", str(out), "--cache", "none"]
    assert evaluate([*words, *more]) == 0
    return dict(json.loads((out / "evaluation.json").read_text()))


def recalls_of(evaluation: dict[str, Any]) -> dict[str, float]:
    """R@k over all captions, of the one set that was measured."""
    (task,) = evaluation["tasks"]
    return {name: value for name, value in task["metrics"].items() if "/" not in name}


def retrieval_of(folder: Path) -> dict[str, float]:
    """R@k that a run measured at its end."""
    return {k: v for k, v in json.loads((folder / "results.json").read_text()).items() if "_r@" in k}


def losses(folder: Path) -> dict[int, float]:
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return {line["step"]: line["loss/train/total"] for line in lines if "loss/train/total" in line}


def weights(folder: Path) -> dict[str, torch.Tensor]:
    state = torch.load(folder / "latest-rank0.pt", weights_only=False)
    return dict(state["state"]["model"])


def assert_goes_on_after(signal: int, words: list[str], folder: Path, undisturbed: Path) -> None:
    """A run that resumes by itself, ended by a signal and run again, is the undisturbed one, bit for bit."""
    ended = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True)
    wait_for_steps(folder, 7, ended)
    ended.send_signal(signal)
    ended.wait()
    run(words)
    found, expected = weights(folder), weights(undisturbed)
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    last = max(losses(undisturbed))
    assert losses(folder)[last] == losses(undisturbed)[last]


def steps_logged(folder: Path) -> list[str]:
    log = folder / "log.jsonl"
    return log.read_text().splitlines() if log.exists() else []


def wait_for_steps(folder: Path, count: int, *processes: subprocess.Popen[str]) -> None:
    """Return when a run has logged so many steps, or when all its processes have ended."""
    deadline = time.monotonic() + 200
    while len(steps_logged(folder)) < count and any(process.poll() is None for process in processes):
        assert time.monotonic() < deadline
        time.sleep(0.02)
