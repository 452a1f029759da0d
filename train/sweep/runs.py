"""Runs a sweep: one command of train/run.py after the other, each in a process of its own."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.errors import UserError
from engine.ui import duration
from train.keeping.checkpoints import RESULTS
from train.sweep.plan import PlannedRun, Sweep

TRAIN = Path(__file__).resolve().parents[1] / "run.py"
LOCK = ".lock"


@dataclass
class Outcome:
    """Attributes: failed, `row-seed` of a run to its last line; seconds, of the runs made now."""

    failed: dict[str, str] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)


class Stopped(Exception):
    """The sweep was told to stop; the run under way has saved its step."""


def command(sweep: Sweep, run: PlannedRun) -> list[str]:
    """The command of a run. One rank needs no launcher, which would import everything once more."""
    python = Path(sys.executable)
    ranks = sweep.config.processes
    launcher = [str(python)] if ranks == 1 else [str(python.parent / "composer"), "-n", str(ranks)]
    return [*launcher, str(TRAIN), sweep.config.recipe, *run.words, "autoresume=true"]


def result_of(run: PlannedRun) -> dict[str, Any] | None:
    """results.json of a run, or None while there is none."""
    path = run.folder / RESULTS
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else None


def run_all(sweep: Sweep, say: Callable[[str], None]) -> Outcome:
    """Makes every run that has no results yet; one that failed does not keep the others back.

    Raises:
        Stopped: after Ctrl-C or SIGTERM.
        UserError: another process is at work in the folder.
    """
    outcome = Outcome()
    missing = [run for run in sweep.runs if result_of(run) is None]
    say(f"{len(sweep.runs) - len(missing)} of {len(sweep.runs)} runs are done")
    with _alone(sweep.folder) as lock:
        for number, run in enumerate(missing, 1):
            began = time.monotonic()
            last = _run(command(sweep, run), run.folder, lock)
            seconds = time.monotonic() - began
            if last is None:
                outcome.seconds.append(seconds)
            else:
                outcome.failed[run.folder.name] = last
            say(f"[{number}/{len(missing)}] {run.folder.name}: {_end(run, last, seconds)}"
                + _left(outcome, len(missing) - number))  # fmt: skip
    return outcome


def _end(run: PlannedRun, failure: str | None, seconds: float) -> str:
    return f"failed: {failure} (see {_log(run.folder)})" if failure else f"done in {duration(seconds)}"


def _left(outcome: Outcome, runs: int) -> str:
    if not runs or not outcome.seconds:
        return ""
    return f"; about {duration(runs * sum(outcome.seconds) / len(outcome.seconds))} left"


def _log(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.log")


def _run(words: list[str], folder: Path, lock: int) -> str | None:
    """Runs one command; None, or the last line that it wrote when it failed."""
    with _log(folder).open("a", encoding="utf-8") as log:
        began = log.tell()
        # A session of its own: Ctrl-C must reach it once, as a SIGTERM, which saves the step under way.
        process = subprocess.Popen(
            words, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True, pass_fds=(lock,)
        )
        with _interruptible():
            try:
                code = process.wait()
            except KeyboardInterrupt:
                _stop(process)
                raise Stopped from None
    if code == 0 and (folder / RESULTS).exists():
        return None
    return f"{_last_words(_log(folder), began)} (exit code {code})"


def _last_words(log: Path, begin: int) -> str:
    """The last error in a log from byte `begin` on, or else its last line."""
    lines = log.read_bytes()[begin:].decode("utf-8", errors="replace").strip().splitlines() or ["no output"]
    errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    return (errors or lines)[-1]


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Lets the step finish; the second Ctrl-C does not wait."""
    print("stopping after the step under way (Ctrl-C again: at once)", file=sys.stderr)
    os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait()
    except KeyboardInterrupt:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@contextmanager
def _interruptible() -> Iterator[None]:
    """SIGINT and SIGTERM raise KeyboardInterrupt, whatever handlers libraries or a shell have set."""
    before = {number: signal.signal(number, _interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


@contextmanager
def _alone(folder: Path) -> Iterator[int]:
    """A lock that the runs hold too: one may be left over from a sweep that was killed."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK).open("w", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(
                f"{folder}: another sweep, or a run of one, is at work here; let it end"
            ) from None
        yield file.fileno()
