"""Runs one measurement in a process of its own, with a time limit, watching the card."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.gpu.board import DONE, FAILED, Row
from benchmarks.gpu.card import CardWatch
from benchmarks.gpu.task import Task

POLL_S = 0.05
LAST_LINES = 15
MOST_WORDS = 300
ERROR = re.compile(r"[A-Za-z_][\w.]*: ")
"""How the last words of a traceback begin; some errors take several lines."""
GRACE_S = 10.0
"""For a process that has answered and does not end."""


def run(task: Task, limit_s: float) -> Row:
    """A row for the board: the process's answer, or why there is none.

    Args:
        limit_s: it is ended, with all that it started, after that.
    """
    began, cuda = time.monotonic(), task.settings.device == "cuda"
    shutil.rmtree(task.folder, ignore_errors=True)  # of an earlier try
    task.folder.mkdir(parents=True)
    with CardWatch(wanted=cuda) as card:
        code, answer = _run(task, limit_s)
    row: Row = {"seconds": round(time.monotonic() - began, 1)}
    if answer is None:
        log = _log(task).read_text(encoding="utf-8", errors="replace").strip().splitlines()
        reason = f"not done within {limit_s:.0f} s" if code is None else _reason(code, log)
        return {"status": FAILED, "reason": reason, **row, "log": log[-LAST_LINES:]}
    window = answer.pop("window", None)
    seen = {"gpu_mib": card.memory_mib(), "gpu_busy": card.busy(window)} if cuda else {}
    return {"status": DONE, **row, "result": {**answer, **seen}}


def _log(task: Task) -> Path:
    return task.folder / "log.txt"


def _reason(code: int, log: list[str]) -> str:
    said = [line for line in log if ERROR.match(line)] or log or ["it said nothing"]
    last = said[-1][:MOST_WORDS]
    return f"ended by signal {-code}: {last}" if code < 0 else last


def _run(task: Task, limit_s: float) -> tuple[int | None, dict[str, Any] | None]:
    """Exit code (None: it was too slow) and answer."""
    hidden = {} if task.settings.device == "cuda" else {"CUDA_VISIBLE_DEVICES": ""}
    # Nothing is to be fetched: where there is no network, trying takes minutes.
    own = {"TQDM_DISABLE": "1", "PYTHONUNBUFFERED": "1", "HF_HUB_OFFLINE": "1", **hidden}
    words = [sys.executable, "-W", "ignore", "-m", "benchmarks.gpu.child", json.dumps(task.to_json())]
    answers = task.folder / "answer.json"
    with answers.open("w", encoding="utf-8") as out, _log(task).open("w", encoding="utf-8") as log:
        child = subprocess.Popen(
            words,
            stdout=out,
            stderr=log,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            env={**os.environ, **own},
        )
    try:
        code = _wait(child, answers, limit_s)
    finally:  # of this program's own end too
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
    lines = answers.read_text(encoding="utf-8").splitlines()
    return code, json.loads(lines[-1]) if lines else None


def _wait(child: subprocess.Popen[bytes], answers: Path, limit_s: float) -> int | None:
    end = time.monotonic() + limit_s
    answered = False
    while (code := child.poll()) is None and time.monotonic() < end:
        if not answered and answers.read_text(encoding="utf-8").endswith("\n"):
            answered, end = True, time.monotonic() + GRACE_S
        time.sleep(POLL_S)
    return code
