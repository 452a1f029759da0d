"""One server, several processes that ask it: many of them at a time, or one request of one of them alone.

Two locked files. `room` is held by every process that has requests in flight, shared, or by one process
exclusively. `turn` is held by the process that wants the room for itself, so that the others stop sending and
leave it; without it, a busy process would never leave.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from pathlib import Path
from typing import Protocol

from engine.native import hash_bytes


class Room(Protocol):
    """Who may send; nothing here waits."""

    def share(self) -> bool:
        """Whether this process may send beside others; then it holds the room until it leaves it."""

    def take(self) -> bool:
        """Whether this process has the room for itself; if not, the others were told to leave it."""

    def leave(self) -> None:
        """No request of this process is in flight, and none is wanted alone."""


class OwnRoom:
    """The room of an engine that nobody else can ask."""

    def share(self) -> bool:
        """See `Room`."""
        return True

    def take(self) -> bool:
        """See `Room`."""
        return True

    def leave(self) -> None:
        """See `Room`."""


class SharedRoom:
    """The room of a server. The kernel lets go of it when the process ends, however it ends."""

    def __init__(self, path: Path) -> None:
        """All who ask the server name the same `path`; two files beside it are made."""
        self._turn = _Lock(path.with_suffix(".turn"))
        self._room = _Lock(path.with_suffix(".room"))

    def share(self) -> bool:
        """See `Room`."""
        if self._room.held == fcntl.LOCK_EX:
            self.leave()
        if not self._turn.try_lock(fcntl.LOCK_SH):
            return False  # somebody wants to be alone
        entered = self._room.held == fcntl.LOCK_SH or self._room.try_lock(fcntl.LOCK_SH)
        self._turn.unlock()
        return entered

    def take(self) -> bool:
        """See `Room`."""
        if self._room.held == fcntl.LOCK_EX:
            return True
        self._room.unlock()
        mine = self._turn.held == fcntl.LOCK_EX or self._turn.try_lock(fcntl.LOCK_EX)
        return mine and self._room.try_lock(fcntl.LOCK_EX)

    def leave(self) -> None:
        """See `Room`."""
        self._room.unlock()
        self._turn.unlock()


def room_for(base_url: str | None, folder: Path | None) -> Room:
    """The room of a server, or of the engine in this process.

    Args:
        base_url: of the server; None for the engine in this process.
        folder: that all who ask it see. None: whoever asks is on this machine, under this user; then other
            runs that ask the same server meet in the same room.
    """
    if base_url is None:
        return OwnRoom()
    name = hash_bytes(base_url.rstrip("/").encode(), "xxh3_64")
    if folder is not None:
        return SharedRoom(folder / f"server-{name}")
    return SharedRoom(Path(tempfile.gettempdir()) / f"veclip-engine-{os.getuid()}-{name}")


class _Lock:
    def __init__(self, path: Path) -> None:
        # A link that somebody else put there is not followed.
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        self._file = os.open(path, flags, 0o600)
        self.held = fcntl.LOCK_UN

    def __del__(self) -> None:
        os.close(self._file)

    def try_lock(self, kind: int) -> bool:
        try:
            fcntl.flock(self._file, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        self.held = kind
        return True

    def unlock(self) -> None:
        if self.held != fcntl.LOCK_UN:
            fcntl.flock(self._file, fcntl.LOCK_UN)
            self.held = fcntl.LOCK_UN
