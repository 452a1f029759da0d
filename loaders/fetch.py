"""Brings files from a remote: whole and as expected, or not at all, and in bounded time."""

from __future__ import annotations

import errno
import math
import os
import random
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

from streaming.base.storage import CloudDownloader

from engine.errors import UserError
from loaders import http_store
from loaders.claims import claim
from loaders.counters import Counters
from loaders.download import Limits, StoppedError, run_download

http_store.register()

# Below the folder of the data set: claims, and files on their way.
WORKPLACE = ".fetch"
MOST_ATTEMPTS = 6
# Seconds before the second attempt; doubled before each further one, and drawn between half and all of it.
BACKOFF_S = 1.0
# An attempt that receives next to nothing for this share of the deadline is given up.
STALL_SHARE = 0.1
DEFAULT_DEADLINE_S = 300.0
# Another attempt would end the same way.
FINAL_STATUS = {400, 401, 403, 404, 405, 410}
FINAL_ERRNO = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM}

_numbers = count()


class FetchError(UserError):
    """A file could not be had from its remote in time."""


@dataclass(frozen=True)
class Wanted:
    """A file to bring.

    Attributes:
        name: relative to the remote.
        target: where it, or what `accept` makes of it, is to lie.
        most_bytes: it has no more.
        accept: checks the file that arrived and returns the one to keep (itself, or one made beside it);
            raises to have it fetched again.
    """

    name: str
    target: Path
    most_bytes: int
    accept: Callable[[Path], Path]


@dataclass
class Fetcher:
    """Fetches from one remote to one folder, for the threads of one process.

    Attributes:
        local: folder of the data set.
        remote: any store that Streaming knows, http:// or https://; None fetches nothing.
        deadline_s: for one file, all attempts and waiting for other processes together.
        counters: told what was fetched.
        stopped: set it to end what is going on soon.
    """

    local: Path
    remote: str | None
    deadline_s: float = DEFAULT_DEADLINE_S
    counters: Counters = field(default_factory=Counters)
    stopped: bool = False

    def __post_init__(self) -> None:
        """Find the store by the remote's scheme; remove what killed runs left in the folder.

        Raises:
            UserError: when there is none for it.
        """
        self._store: CloudDownloader | None = None
        self._owner = 0
        self._client()
        self._sweep()

    def __getstate__(self) -> dict[str, Any]:
        """Leave the store's connections behind when pickled."""
        return {**self.__dict__, "_store": None}

    @contextmanager
    def claim(self, name: str, until: float) -> Iterator[bool]:
        """Be the only one, in any process, to prepare `name`; yields whether that was so by `until`.

        Raises:
            StoppedError: while it waited for another one, it was stopped.
        """
        left = max(0.0, until - time.monotonic())
        with claim(self.local / WORKPLACE / "claims", name, left, lambda: self.stopped) as got:
            if not got and self.stopped:
                raise StoppedError("the wait for another process was stopped")
            yield got

    def until(self) -> float:
        """Return the moment by which something that begins now has to be done."""
        return time.monotonic() + self.deadline_s

    def fetch(self, wanted: Wanted, until: float) -> None:
        """Bring a file; the caller holds the claim on it.

        Raises:
            FetchError: when it could not be had by `until`, or in MOST_ATTEMPTS attempts.
        """
        assert self.remote is not None
        source = os.path.join(self.remote, wanted.name)
        failure: BaseException = TimeoutError("no time was left")
        attempt = 0
        while attempt < MOST_ATTEMPTS and time.monotonic() < until:
            attempt += 1
            try:
                return self._attempt(source, wanted, until)
            except StoppedError:
                raise
            except Exception as error:  # every store raises its own kind
                failure, self._store = error, None  # the attempt given up may still be using it
                if _is_final(error):
                    break
                self._pause(attempt, until)
        raise FetchError(
            f"{source}: could not be fetched in {attempt} attempts ({self.deadline_s:g} s allowed, "
            f"data.deadline): {type(failure).__name__}: {failure}; see that the remote is reachable and "
            "holds a data set of python -m engine.shard"
        ) from failure

    def _attempt(self, source: str, wanted: Wanted, until: float) -> None:
        with self._folder() as folder:
            arriving = folder / "file"
            stall_s = self.deadline_s * STALL_SHARE
            run_download(
                partial(self._client().download, source, str(arriving), 2 * stall_s),
                folder,
                Limits(until, stall_s, wanted.most_bytes, lambda: self.stopped),
            )
            size = arriving.stat().st_size
            kept = wanted.accept(arriving)
            wanted.target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(kept, wanted.target)
        self.counters.add(bytes_fetched=size)

    def _client(self) -> CloudDownloader:
        """Return the store's client; connections of a parent process are not for its children."""
        if self._store is None or self._owner != os.getpid():
            try:
                self._store, self._owner = CloudDownloader.get(self.remote), os.getpid()
            except (ValueError, ImportError) as error:
                raise UserError(f"{self.remote}: no store for this remote: {error}") from error
        return self._store

    def _pause(self, attempt: int, until: float) -> None:
        if attempt == MOST_ATTEMPTS:
            return
        self.counters.add(fetch_retries=1)
        longest = min(BACKOFF_S, self.deadline_s * STALL_SHARE) * 2 ** (attempt - 1)
        # Not the global generator: training draws from it.
        end = min(until, time.monotonic() + longest * random.SystemRandom().uniform(0.5, 1))
        while time.monotonic() < end:
            if self.stopped or not threading.main_thread().is_alive():
                raise StoppedError("the download was stopped")
            time.sleep(min(0.05, max(0.0, end - time.monotonic())))

    @contextmanager
    def _folder(self) -> Iterator[Path]:
        """Make a folder for one attempt, named by who uses it, and remove it whatever happens."""
        folder = self.local / WORKPLACE / f"{socket.gethostname()}-{os.getpid()}-{next(_numbers)}"
        folder.mkdir(parents=True)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _sweep(self) -> None:
        """Remove the folders of this machine's processes that are no more."""
        for folder in (self.local / WORKPLACE).glob(f"{socket.gethostname()}-*-*"):
            process = folder.name.split("-")[-2]
            if process.isdigit() and not _is_alive(process):
                shutil.rmtree(folder, ignore_errors=True)


def _is_alive(process: str) -> bool:
    """Whether there is such a process, and not only what its parent has yet to take note of."""
    try:
        state = Path("/proc", process, "stat").read_text("utf-8", "replace").rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


def _is_final(error: Exception) -> bool:
    """Whether another attempt is pointless: the store answered, and its answer was no."""
    if isinstance(error, (FileNotFoundError, PermissionError, IsADirectoryError, ImportError)):
        return True
    if isinstance(error, OSError) and error.errno in FINAL_ERRNO:
        return True
    response = getattr(error, "response", None)  # botocore's
    metadata = response.get("ResponseMetadata", {}) if isinstance(response, dict) else {}
    statuses = {
        metadata.get("HTTPStatusCode"),
        getattr(error, "code", None),
        getattr(error, "status_code", None),
    }
    return any(status in FINAL_STATUS for status in statuses if isinstance(status, int))


def check_deadline(section: str, seconds: float) -> None:
    """Refuse a deadline that is none; `section` of the recipe stands in the message.

    Raises:
        UserError: naming the field.
    """
    if not 0 < seconds < math.inf:
        raise UserError(f"{section}.deadline: {seconds} given; expected seconds above 0")
