"""A copy of a run's folder in a store (s3://, gs://, oci://): `save_folder` as a URI.

A run saves, seals and checks its checkpoints in a local folder, as any run. Each is then uploaded, its seal
after it: one that has a seal in the store is there whole. Nothing in the store is ever removed.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from composer.utils import maybe_create_object_store_from_uri, parse_uri

from engine.errors import UserError
from train import seals

UPLOADING = ".uploading"


def is_remote(place: str | None) -> bool:
    """Whether a folder or file is named by a URI."""
    return place is not None and "://" in place


class RemoteFolder:
    """A folder of a store, flat."""

    def __init__(self, uri: str) -> None:
        """Connect, as Composer does for any of its URIs.

        Raises:
            UserError: a store of another kind, or its package or credentials are missing.
        """
        self.uri = uri.rstrip("/")
        _, _, path = parse_uri(self.uri)
        self._prefix = f"{path.strip('/')}/" if path.strip("/") else ""
        with self._translated("open"):
            self._store: Any = maybe_create_object_store_from_uri(self.uri)

    def names(self) -> list[str]:
        """Return the files that lie in it."""
        with self._translated("list"):
            keys = [str(key) for key in self._store.list_objects(self._prefix)]
        names = [key[len(self._prefix) :] for key in keys if key.startswith(self._prefix)]
        return [name for name in names if name and "/" not in name]

    def upload(self, path: Path, name: str) -> None:
        """Store a file, or another version of it."""
        with self._translated(f"store {name} in"):
            self._store.upload_object(self._prefix + name, str(path))

    def download(self, name: str, target: Path) -> None:
        """Fetch a file; `target` is complete or unchanged."""
        with self._translated(f"fetch {name} from"):
            self._store.download_object(self._prefix + name, str(target), overwrite=True)

    @contextmanager
    def _translated(self, what: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # each store has its own kinds
            reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
            raise UserError(f"{self.uri}: cannot {what} it ({reason})") from error


class Mirror:
    """Copies a run's files to a store, one after the other, while training goes on; rank 0 only."""

    def __init__(self, folder: Path, remote: RemoteFolder) -> None:
        """Start nothing yet; what an earlier part of the run left half sent is forgotten."""
        self._folder, self._remote = folder, remote
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="upload")
        self._sent: list[tuple[Path, Future[None]]] = []
        self._known: dict[str, bytes] = {}
        shutil.rmtree(folder / UPLOADING, ignore_errors=True)

    def send(self, checkpoint: Path) -> None:
        """Copy a sealed checkpoint soon, unless it was; a failure is told, and tried again at the end."""
        sealed = seals.seal_of(checkpoint).read_bytes()
        if self._known.get(checkpoint.name) == sealed:  # sealed again, as it was just written
            return
        self._known[checkpoint.name] = sealed
        kept = self._folder / UPLOADING / checkpoint.name
        kept.parent.mkdir(exist_ok=True)
        for path in (checkpoint, seals.seal_of(checkpoint)):
            (kept.parent / path.name).unlink(missing_ok=True)
            os.link(path, kept.parent / path.name)  # the run may remove it meanwhile
        self._sent.append((kept, self._thread.submit(self._upload_told, kept)))

    def finish(self) -> None:
        """Wait for what is under way, try again what failed, and copy the run's other files.

        Raises:
            UserError: something could not be stored; it is in the local folder.
        """
        self._thread.shutdown()
        for kept, sent in self._sent:
            if sent.exception() is not None:
                self._upload(kept)
        self._sent = []
        self._upload_others()
        shutil.rmtree(self._folder / UPLOADING, ignore_errors=True)

    def _upload_told(self, kept: Path) -> None:
        try:
            self._upload(kept)
        except UserError as error:
            print(f"warning: {error}; tried again at the end of the run", file=sys.stderr, flush=True)
            raise

    def _upload(self, kept: Path) -> None:
        self._upload_others()
        for path in (kept, seals.seal_of(kept)):
            self._remote.upload(path, path.name)
            path.unlink()

    def _upload_others(self) -> None:
        for path in self._folder.iterdir():
            if path.is_file() and not _is_of_checkpoint(path.name):
                self._remote.upload(path, path.name)


def bring_newest(remote: RemoteFolder, folder: Path) -> None:
    """Fetch the store's newest sound checkpoint, unless one in `folder` is as new, and what else is not here.

    Raises:
        UserError: the store does not answer, or a checkpoint would run code.
    """
    names, here = remote.names(), (folder / seals.LATEST).resolve().name
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        if not _is_of_checkpoint(name) and not (folder / name).exists():
            remote.download(name, folder / name)
    for name in seals.newest_first(names):
        if seals.step_of(name) <= seals.step_of(here):
            return
        if seals.seal_of(Path(name)).name in names and bring(remote, name, folder):
            return


def bring(remote: RemoteFolder, name: str, folder: Path) -> bool:
    """Fetch a checkpoint and its seal, and return whether it is sound; one that is not is set aside."""
    path = folder / name
    for wanted in (path, seals.seal_of(path)):
        remote.download(wanted.name, wanted)
    return seals.set_aside_if_damaged(path) is None


def _is_of_checkpoint(name: str) -> bool:
    """Whether a file is a checkpoint or stands beside one: a seal, one being written, a damaged one."""
    return "-rank0.pt" in name
