"""`.state`: everything that an unfinished build knows, so that it can be stopped at any moment.

plan.json            options and inputs; a second run must have the same
lock, workers.lock   held while a build runs
packed/00000.json    receipt of a unit, beside its .keys (sorted 128-bit hashes) and .rejects.parquet
duplicates.json      after all units are packed: units that hold keys of earlier units
exclude/00007.keys   the keys that unit 7 must leave out
deduped/00007.json   receipt of unit 7 after it was packed again without them
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from engine.build.job import Task
from engine.build.receipts import Receipt, read_receipt
from engine.errors import UserError
from engine.native import commit_file
from engine.parquet_file import sync_folder

STATE = ".state"
# Workers of a killed build die within milliseconds; a batch that is just being decoded may take some seconds.
ORPHANS_TIMEOUT_S = 60.0


class State:
    """The `.state` folder of one dataset."""

    def __init__(self, out: Path) -> None:
        """Names the folder; nothing is read or made."""
        self.out = out
        self.folder = out / STATE

    def create(self, plan: Mapping[str, Any]) -> None:
        """Begins a build."""
        self.make_folders()
        commit_file(self.folder / "plan.json", json.dumps(plan, indent=1).encode())

    def make_folders(self) -> None:
        """Where the units' files go."""
        for name in ("packed", "exclude", "deduped"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        sync_folder(self.out)

    def plan(self) -> dict[str, Any] | None:
        """The plan of an unfinished build, or None if there is none."""
        plan: dict[str, Any] | None = self._read("plan.json")
        return plan

    def duplicates(self) -> dict[str, int] | None:
        """Number of keys to leave out by unit folder, once that is known."""
        duplicates: dict[str, int] | None = self._read("duplicates.json")
        return duplicates

    def commit_duplicates(self, duplicates: Mapping[str, int]) -> None:
        """Records it, after all exclusion files."""
        commit_file(self.folder / "duplicates.json", json.dumps(duplicates).encode())

    def excluded(self, task: Task) -> Path:
        """Keys that a unit must leave out."""
        return self.folder / "exclude" / f"{task.folder}.keys"

    def receipt_path(self, task: Task) -> Path:
        """Where the unit's receipt is, for the phase the task is in."""
        return self.folder / ("deduped" if task.dedupe else "packed") / f"{task.folder}.json"

    def keys_path(self, task: Task) -> Path:
        """The unit's key hashes (of the first phase)."""
        return self.folder / "packed" / f"{task.folder}.keys"

    def rejects_path(self, task: Task) -> Path:
        """The unit's rejects."""
        return self.receipt_path(task).with_suffix(".rejects.parquet")

    def receipt(self, task: Task) -> Receipt | None:
        """The unit's receipt, or None while it is not packed."""
        return read_receipt(self.receipt_path(task))

    def remove(self) -> None:
        """Ends the build; what a kill leaves of the folder goes with the next run of the same command."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _read(self, name: str) -> Any:
        try:
            return json.loads((self.folder / name).read_bytes())
        except FileNotFoundError:
            return None


@contextmanager
def build_lock(out: Path) -> Iterator[None]:
    """Held by the one build that may write to `out`; the kernel lets go of it however the process ends.

    Raises:
        UserError: another build is running.
    """
    folder = out / STATE
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UserError(
                f"{out}: another build is writing to it; wait for it or name another --out"
            ) from None
        _wait_for_orphans(out)
        yield


@contextmanager
def worker_lock(out: Path) -> Iterator[None]:
    """Held by every worker while it writes, so that a new build can wait for those of a killed one."""
    with (out / STATE / "workers.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        yield


def _wait_for_orphans(out: Path) -> None:
    deadline = time.monotonic() + ORPHANS_TIMEOUT_S
    with (out / STATE / "workers.lock").open("a") as lock:
        while True:
            try:
                return fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                if time.monotonic() > deadline:
                    raise UserError(
                        f"{out}: workers of a build that was killed are still writing; end them and run again"
                    ) from None
                time.sleep(0.05)


def fresh_folder(path: Path) -> None:
    """An empty folder, whatever a killed worker left there."""
    shutil.rmtree(path, ignore_errors=True)
    os.makedirs(path)
