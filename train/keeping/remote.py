"""A copy of a run's folder in a store (s3://, gs://, oci://): `save_folder` as a URI.

A run saves, seals and checks its checkpoints in a local folder, as any run. Each is then uploaded, its seal
after it: one that has a seal in the store is there whole. Nothing in the store is ever removed.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from composer.utils import maybe_create_object_store_from_uri, parse_uri

from engine.errors import UserError
from train.keeping import seals
from train.together import agree, attempt, fail_alike

UPLOADING = ".uploading"
# Between two questions whether an upload is over.
PAUSE_S = 0.5


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
        """Send the newest checkpoint that is here, unless the store has it: the run may have been cut off."""
        self._folder, self._remote = folder, remote
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="upload")
        self._waiting: list[tuple[Path, Future[None]]] = []
        self._known: dict[str, bytes] = {}
        shutil.rmtree(folder / UPLOADING, ignore_errors=True)
        stored = remote.names()
        here = seals.newest_first(path.name for path in folder.glob("*.pt"))[:1]
        for path in (folder / name for name in here):
            if seals.seal_of(path).exists() and seals.seal_of(path).name not in stored:
                self.send(path)

    def send(self, checkpoint: Path) -> None:
        """Copy a sealed checkpoint, soon; one that waits or has failed gives way to it."""
        sealed = seals.seal_of(checkpoint).read_bytes()
        if self._known.get(checkpoint.name) == sealed:  # sealed again, as it was just written
            return
        self._known[checkpoint.name] = sealed
        self._drop_older()
        kept = self._folder / UPLOADING / checkpoint.name
        kept.parent.mkdir(exist_ok=True)
        for path in (checkpoint, seals.seal_of(checkpoint)):
            (kept.parent / path.name).unlink(missing_ok=True)
            os.link(path, kept.parent / path.name)  # the run may remove it meanwhile
        self._waiting.append((kept, self._thread.submit(self._upload_told, kept)))

    def _drop_older(self) -> None:
        """Where the store is slower than the run, or away, the disk must not fill with what waits for it."""
        under_way = []
        for kept, sent in self._waiting:
            if sent.cancel() or (sent.done() and sent.exception() is not None):
                _forget(kept)
            elif not sent.done():
                under_way.append((kept, sent))
        self._waiting = under_way

    def finish(self) -> None:
        """Wait for what is under way, try again what failed, and copy the run's other files.

        Raises:
            UserError: something could not be stored; it is in the local folder.
        """
        self._thread.shutdown()
        failures = []
        for kept, sent in self._waiting:
            if sent.exception() is not None:
                failures.append(attempt(partial(self._upload, kept))[1])
        self._waiting = []
        failures.append(attempt(self._upload_others)[1])
        shutil.rmtree(self._folder / UPLOADING, ignore_errors=True)
        for failure in failures:
            if failure is not None:
                raise UserError(f"{failure}; it is in {self._folder}")

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
        _forget(kept)

    def _upload_others(self) -> None:
        for path in self._folder.iterdir():
            if path.is_file() and not _is_of_checkpoint(path.name):
                self._remote.upload(path, path.name)


def _forget(kept: Path) -> None:
    for path in (kept, seals.seal_of(kept)):
        path.unlink(missing_ok=True)


def finish_together(mirror: Mirror | None) -> None:
    """Wait on all ranks until rank 0's copy is complete: a launcher kills whoever outlives the first to end.

    Raises:
        UserError: on all ranks, from `Mirror.finish`.
    """
    with ThreadPoolExecutor(1) as thread:
        work = None if mirror is None else thread.submit(partial(attempt, mirror.finish))
        while not agree(lambda: work is None or work.done()):
            time.sleep(PAUSE_S)
        fail_alike(None if work is None else work.result()[1])


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
