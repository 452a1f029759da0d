"""The card as its driver sees it, from outside the measured process: memory and load of all that runs on it.

nvidia-smi sees DALI's memory and CUDA's contexts too, which torch's own counters do not. It counts the whole
card, so nothing else may run there.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import threading
import time
from dataclasses import dataclass
from statistics import fmean

SMI = "nvidia-smi"
PERIOD_MS = 200
PATIENCE_S = 30.0
FIRST_READING_S = 5.0


@dataclass(frozen=True)
class Card:
    """What nvidia-smi says of the card in use."""

    name: str
    memory_gib: float
    driver: str


def find_card() -> Card | None:
    """The card, or None where nvidia-smi is not there or knows of none."""
    if shutil.which(SMI) is None:
        return None
    try:
        done = subprocess.run(
            _words("name,memory.total,driver_version"),
            capture_output=True,
            text=True,
            check=True,
            timeout=PATIENCE_S,
        )
        name, memory, driver = (part.strip() for part in done.stdout.splitlines()[0].split(","))
        return Card(name, float(memory) / 1024, driver)
    except (subprocess.SubprocessError, ValueError, IndexError):
        return None


def _words(fields: str) -> list[str]:
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")[0] or "0"
    return [SMI, "-i", visible, f"--query-gpu={fields}", "--format=csv,noheader,nounits"]


@dataclass(frozen=True)
class Reading:
    """Attributes: at, time.time(); memory_mib, in use; busy, share of the last period with a kernel."""

    at: float
    memory_mib: float
    busy: float


class CardWatch:
    """Reads the card every PERIOD_MS while the block runs; nothing where there is none."""

    def __init__(self, wanted: bool) -> None:
        """Start nothing yet."""
        self._wanted = wanted and shutil.which(SMI) is not None
        self._readings: list[Reading] = []

    def __enter__(self) -> CardWatch:
        """Start, and wait for the first reading: it is of the time before."""
        if self._wanted:
            words = [*_words("memory.used,utilization.gpu"), "-lms", str(PERIOD_MS)]
            own, its = os.openpty()  # a terminal, so that it keeps no lines back
            self._process = subprocess.Popen(words, stdout=its, stderr=subprocess.DEVNULL)
            os.close(its)
            self._lines = os.fdopen(own)
            self._thread = threading.Thread(target=self._read, daemon=True)
            self._thread.start()
            until = time.monotonic() + FIRST_READING_S
            while not self._readings and self._thread.is_alive() and time.monotonic() < until:
                time.sleep(0.01)
        return self

    def _read(self) -> None:
        with contextlib.suppress(OSError):  # how a terminal ends
            for line in self._lines:
                with contextlib.suppress(ValueError):  # "[N/A]", or a line that is about something else
                    memory, busy = (float(part) for part in line.split(","))
                    self._readings.append(Reading(time.time(), memory, busy / 100))

    def __exit__(self, *_: object) -> None:
        """Stop."""
        if self._wanted:
            self._process.kill()
            self._process.wait()
            self._thread.join()
            self._lines.close()

    def memory_mib(self) -> float | None:
        """Most memory in use above the least: what the measured process took, its CUDA context included."""
        used = [reading.memory_mib for reading in self._readings]
        return max(used) - min(used) if used else None

    def busy(self, window: tuple[float, float] | None) -> float | None:
        """Mean load over a window of time.time()."""
        if window is None:
            return None
        inside = [reading.busy for reading in self._readings if window[0] <= reading.at <= window[1]]
        return fmean(inside) if inside else None
