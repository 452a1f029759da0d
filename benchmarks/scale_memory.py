"""Peak memory of a process and all its descendants, as Linux tells it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

POLL_S = 0.05
PAGE = os.sysconf("SC_PAGE_SIZE")


def run_measured(command: Sequence[str], timeout_s: float) -> tuple[str, int]:
    """Run a command on two cores to its end.

    Returns:
        Its standard output, and the largest sum of resident bytes of it and its descendants (pages that
        they share count once for each).

    Raises:
        RuntimeError: when it fails or takes longer.
    """
    cores = sorted(os.sched_getaffinity(0))[:2]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        ["taskset", "-c", ",".join(map(str, cores)), *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    ) as process:
        peak, deadline = 0, time.monotonic() + timeout_s
        while process.poll() is None and time.monotonic() < deadline:
            peak = max(peak, resident_bytes(process.pid))
            time.sleep(POLL_S)
        if process.poll() is None:
            process.kill()
        output, errors = process.communicate()
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)}: exit code {process.returncode}\n{errors[-2000:]}")
    return output, peak


def resident_bytes(root: int) -> int:
    """Return the resident bytes of a process and its descendants, now."""
    children, sizes = defaultdict(list), {}
    for entry in Path("/proc").iterdir():
        # A process may end while it is looked at.
        with contextlib.suppress(OSError):
            if entry.name.isdigit():
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                children[parent].append(int(entry.name))
                sizes[int(entry.name)] = int((entry / "statm").read_text().split()[1]) * PAGE
    total, waiting = 0, [root]
    while waiting:
        process = waiting.pop()
        total += sizes.get(process, 0)
        waiting += children[process]
    return total
