"""A measuring process as its parent sees it: started, stopped between turns, watched, ended."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import asdict
from typing import Any

from benchmarks.loader.work import Work

PATIENCE_S = 300.0
POLL_S = 0.05


class PeerFailedError(Exception):
    """A peer's process ended before it answered."""


class Measurer:
    """One child; it freezes itself and its own children (SIGSTOP) whenever it is not its turn."""

    def __init__(self, work: Work) -> None:
        """Start it; `ready` waits until it can be measured."""
        self.work = work
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  # closed in `close`
        self._child = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "benchmarks.loader.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            start_new_session=True,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "TQDM_DISABLE": "1"},
        )
        self._send(json.dumps(asdict(work)))

    def ready(self) -> dict[str, Any]:
        """Wait for the first batch."""
        return self._answer()

    def measure(self, seconds: float) -> dict[str, Any]:
        """Let it work for a while; whatever else was started is frozen."""
        self._signal(signal.SIGCONT)
        self._send(str(seconds))
        return self._answer()

    def peak_mb(self, seconds: float) -> float:
        """Most memory of the process tree during a turn that is not timed."""
        peak, over = 0.0, threading.Event()

        def watch() -> None:
            nonlocal peak
            while not over.is_set():
                peak = max(peak, tree_mb(self._child.pid))
                over.wait(POLL_S)

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            self.measure(seconds)
        finally:
            over.set()
            watcher.join()
        return peak

    def ended(self) -> bool:
        """Whether the child is no more."""
        return self._child.poll() is not None

    def close(self) -> None:
        """End the child and all it started; asked first, so that it leaves no shared memory behind."""
        self._signal(signal.SIGCONT)
        with contextlib.suppress(OSError):
            if self._child.stdin:
                self._child.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._child.wait(timeout=10)
        self._signal(signal.SIGKILL)
        self._child.wait()
        if self._child.stdout:
            self._child.stdout.close()
        self._log.close()

    def _send(self, line: str) -> None:
        with contextlib.suppress(BrokenPipeError):  # `_answer` says why
            if self._child.stdin:
                self._child.stdin.write(line + "\n")
                self._child.stdin.flush()

    def _answer(self) -> dict[str, Any]:
        timer = threading.Timer(PATIENCE_S, self._signal, [signal.SIGKILL])
        timer.start()
        line = self._child.stdout.readline() if self._child.stdout else ""
        timer.cancel()
        if not line:
            raise PeerFailedError(self._last_words())
        self._wait_until_frozen()
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _wait_until_frozen(self) -> None:
        import psutil

        with contextlib.suppress(psutil.Error):
            process = psutil.Process(self._child.pid)
            while process.status() not in (psutil.STATUS_STOPPED, psutil.STATUS_ZOMBIE):
                time.sleep(0.001)

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._child.pid, number)

    def _last_words(self) -> str:
        self._log.seek(0)
        lines = self._log.read().decode("utf-8", "replace").strip().splitlines()
        return lines[-1] if lines else f"no answer within {PATIENCE_S:.0f} s"


def tree_mb(pid: int) -> float:
    """Proportional resident memory (PSS: a shared page counts once) of a process and those below it, MB."""
    import psutil

    total = 0.0
    with contextlib.suppress(psutil.Error):
        root = psutil.Process(pid)
        for process in [root, *root.children(recursive=True)]:
            with contextlib.suppress(psutil.Error):
                total += process.memory_full_info().pss
    return total / 1e6
