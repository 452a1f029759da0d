"""The request log: every answer is written down before anything else is done with it.

One line per answer, `<xxh3_64 of the JSON> <JSON>`. A kill loses nothing that was written, a power cut at
most the last second. A run that goes on, and a real run after a pilot, find answers here instead of asking.
"""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

from engine.native import hash_bytes
from engine.parquet_file import sync_folder
from engine.recap.requests import Completion, completion_from_json

SYNC_S = 1.0


class RequestLog:
    """The answers of one unit."""

    def __init__(self, path: Path) -> None:
        """Reads what is there, cuts off a torn end, and opens the file for more."""
        self._known: dict[str, Completion] = {}
        data = path.read_bytes() if path.exists() else b""
        whole = self._read(data)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        os.ftruncate(self._file, whole)
        os.lseek(self._file, whole, os.SEEK_SET)
        sync_folder(path.parent)
        self._dirty = threading.Event()
        self._closed = threading.Event()
        self._syncer = threading.Thread(target=self._sync, name="request log", daemon=True)
        self._syncer.start()

    def __enter__(self) -> RequestLog:
        """The log itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Brings everything to the disk and closes the file."""
        self._closed.set()
        self._dirty.set()
        self._syncer.join()
        os.fsync(self._file)
        os.close(self._file)

    def __len__(self) -> int:
        """Number of answers."""
        return len(self._known)

    def find(self, request_id: str) -> Completion | None:
        """The answer to a request, if there was one."""
        return self._known.get(request_id)

    def append(self, request_id: str, completion: Completion) -> None:
        """Writes an answer down."""
        text = json.dumps([request_id, completion.to_json()], ensure_ascii=True).encode()
        line = _checksum(text) + b" " + text + b"\n"
        if os.write(self._file, line) != len(line):
            raise OSError("the request log could not be written in full; is the disk full?")
        self._known[request_id] = completion
        self._dirty.set()

    def _read(self, data: bytes) -> int:
        """Takes every line that is sound; the number of bytes up to the last line's end."""
        at = 0
        while (end := data.find(b"\n", at)) >= 0:
            checksum, _, text = data[at:end].partition(b" ")
            at = end + 1
            if checksum != _checksum(text):  # its answer is paid for again, those behind it are not
                continue
            request_id, completion = json.loads(text)
            self._known[request_id] = completion_from_json(completion)
        return at

    def _sync(self) -> None:
        while not self._closed.is_set():
            self._dirty.wait()
            self._dirty.clear()
            os.fsync(self._file)
            self._closed.wait(SYNC_S)


def _checksum(text: bytes) -> bytes:
    return hash_bytes(text, "xxh3_64").encode()
