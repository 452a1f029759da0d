"""Features that were computed before, by model and content."""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.errors import UserError
from engine.native import NativeError, commit_file, hash_bytes, xxh3_64
from train.evaluate.encoder import Features

# Magic, the batch's hash, rows, numbers a row, hash of what follows: a status a row, then the features.
_HEADER = struct.Struct("<8s32sIIQ")
_MAGIC = b"VECLIPF1"
# In a folder that a user names there may be other things: nothing else is ever removed.
FOLDER, SUFFIX = "veclip-features", ".features"
# ImageNet, COCO and VTAB's nine with all their texts are below 1 GB a model at 512 numbers an image.
LIMIT_BYTES = 20 << 30


@dataclass(frozen=True)
class Rows:
    """Features of a batch: float32 [N, D], and a native status [N] (all 0 for texts)."""

    features: Features
    status: NDArray[np.uint8]


def default_cache() -> Path:
    """Where features are kept unless the user says otherwise: XDG's folder for caches."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "veclip-engine"


def digest_of(kind: str, items: Sequence[bytes]) -> str:
    """xxh3_128 over those of a batch's files or texts, in hex."""
    lines = [kind, *(hash_bytes(item, "xxh3_128") for item in items)]
    return hash_bytes("\n".join(lines).encode(), "xxh3_128")


class FeatureCache:
    """A folder a model, a file a batch. Safe with any number of processes: a file is whole or not there.

    What is damaged or not of this cache counts as absent. To empty it, remove its folder.
    """

    def __init__(self, folder: Path | None, model: str) -> None:
        """Touches nothing; without a folder nothing is kept."""
        self._base, self._model = folder, model
        self._kept = False

    def find(self, digest: str, count: int) -> Rows | None:
        """The rows of a batch of `count`, if they are there and sound."""
        if self._base is None:
            return None
        path = self._path(digest)
        try:
            rows = _unpack(path.read_bytes(), digest)
            if rows is None or len(rows.status) != count:
                return None
            os.utime(path)  # used last, removed last
        except OSError:
            return None
        return rows

    def keep(self, digest: str, rows: Rows) -> None:
        """Write them, whole or not at all.

        Raises:
            UserError: they cannot be written.
        """
        if self._base is None:
            return
        path = self._path(digest)
        payload = rows.status.tobytes() + np.ascontiguousarray(rows.features, np.float32).tobytes()
        head = _HEADER.pack(_MAGIC, digest.encode(), *rows.features.shape, xxh3_64(payload))
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            commit_file(path, head + payload)
        except (OSError, NativeError) as error:
            raise UserError(
                f"{path.parent}: features cannot be kept ({error}); free space, or give another "
                "--cache, or none"
            ) from error
        self._kept = True

    def trim(self, limit: int = LIMIT_BYTES) -> None:
        """After writing: down to `limit` bytes, remove what was not used for longest, of any model."""
        if self._base is None or not self._kept:
            return
        found = []
        for path in (self._base / FOLDER).glob(f"*/*{SUFFIX}"):
            with suppress(OSError):  # removed by another process
                about = path.stat()
                found.append((about.st_mtime_ns, about.st_size, path))
        over = sum(size for _, size, _ in found) - limit
        for _, size, path in sorted(found):
            if over <= 0:
                break
            with suppress(OSError):  # another user's, in a shared cache
                path.unlink(missing_ok=True)
                over -= size

    def _path(self, digest: str) -> Path:
        assert self._base is not None
        return self._base / FOLDER / self._model / f"{digest}{SUFFIX}"


def _unpack(data: bytes, digest: str) -> Rows | None:
    if len(data) < _HEADER.size:
        return None
    magic, batch, count, width, check = _HEADER.unpack_from(data)
    payload = memoryview(data)[_HEADER.size :]
    sound = magic == _MAGIC and batch == digest.encode() and len(payload) == count * (1 + 4 * width)
    if not sound or xxh3_64(payload) != check:
        return None
    features = np.frombuffer(payload, np.float32, count * width, count)
    return Rows(features.reshape(count, width), np.frombuffer(payload, np.uint8, count))
