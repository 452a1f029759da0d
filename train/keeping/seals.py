"""A checkpoint is loaded only as it was written, and only if it holds data: no file can run code.

Composer writes a checkpoint in place and then points `latest-rank0.pt` to it. Beside each checkpoint lies a
seal, its hash. A run that goes on takes the newest checkpoint that is sound; one that is not is set aside.
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from composer.core import Callback, Event, State
from composer.loggers import Logger
from composer.utils import dist

from engine.errors import UserError
from engine.native import commit_file, hash_file

LATEST = "latest-rank0.pt"
CHECKPOINT = re.compile(r"ep(\d+)-ba(\d+)-rank0\.pt")
HASH = "xxh64"
DAMAGED = ".damaged"
RUN_FILES = (
    "*-rank0.pt",
    f"*.{HASH}",
    f"*{DAMAGED}",
    "*.jsonl",
    "results.json",
    "config.yaml",
    "model.json",
    "report.html",
    "run_id",
    "mlflow_run_id",
    "tensorboard",
    "wandb",
)
# File systems stamp files by a clock that lags a little.
CLOCK_NS = 1_000_000_000
# What Composer's training state is made of besides tensors; each only builds a value.
KNOWN = {
    "builtins.set",
    "collections.defaultdict",
    "composer.core.time.Time",
    "composer.core.time.TimeUnit",
    "datetime.timedelta",
    "numpy._core.multiarray._reconstruct",
    "numpy.core.multiarray._reconstruct",
    "numpy.core.multiarray.scalar",
    "numpy._core.multiarray.scalar",
    "numpy.dtype",
    "numpy.ndarray",
    "torch.torch_version.TorchVersion",
}


class DamagedError(UserError):
    """A checkpoint does not load."""


class SealCheckpoints(Callback):
    """Seals each checkpoint at the first event after it was saved, and removes old ones; rank 0, locally.

    Composer removes only what it has saved since it was started: a run that is resumed often would leave the
    others for ever.
    """

    def __init__(self, folder: Path, kept: int, send: Callable[[Path], None] | None = None) -> None:
        """Watch the folder that Composer saves in; `kept` checkpoints stay in it, all for -1.

        `send` is given each checkpoint when it is sealed.
        """
        self._folder, self._kept, self._send = folder, kept, send
        self._saving_since: int | None = None

    def run_event(self, event: Event, state: State, logger: Logger) -> None:
        """Seal what a checkpoint event before this one may have saved."""
        if self._saving_since is not None and dist.get_global_rank() == 0:
            for path in seal(self._folder, self._saving_since):
                if self._send is not None:
                    self._send(path)
            if self._kept > 0:
                remove_old(self._folder, self._kept)
        saves = event in (Event.BATCH_CHECKPOINT, Event.EPOCH_CHECKPOINT, Event.FIT_END)
        self._saving_since = time.time_ns() - CLOCK_NS if saves else None

    def state_dict(self) -> dict[str, Any]:
        """Keep nothing."""
        return {}


def seal(folder: Path, since_ns: int) -> list[Path]:
    """Seal each checkpoint that is not, or was written since, and return them; remove the seals of those that
    are no more."""
    sealed = []
    for path in _checkpoints(folder):
        if not seal_of(path).exists() or path.stat().st_mtime_ns >= since_ns:
            commit_file(seal_of(path), hash_file(path, HASH).encode())
            sealed.append(path)
    for old in folder.glob(f"*-rank0.pt.{HASH}"):
        if not old.with_suffix("").exists():
            old.unlink()
    return sealed


def remove_old(folder: Path, kept: int) -> None:
    """Remove all checkpoints but the newest `kept`, with their seals."""
    for path in _checkpoints(folder)[kept:]:
        path.unlink(missing_ok=True)
        seal_of(path).unlink(missing_ok=True)


def set_run_aside(folder: Path) -> None:
    """Move a run's files into the folder's first free `replaced-N`: a new one begins, and loses nothing."""
    files = [path for pattern in RUN_FILES for path in folder.glob(pattern)]
    if not files:
        return
    target = next(place for n in count(1) if not (place := folder / f"replaced-{n}").exists())
    target.mkdir()
    for path in files:
        path.rename(target / path.name)
    print(f"note: the run that was in {folder} is in {target} now", file=sys.stderr)


def choose_sound(folder: Path) -> None:
    """Let `latest-rank0.pt` be the newest sound checkpoint of a folder; set damaged ones aside.

    Raises:
        UserError: there are checkpoints, and none is sound.
    """
    damaged = []
    for path in _checkpoints(folder):
        reason = set_aside_if_damaged(path)
        if reason is None:
            _point_to(path)
            return
        damaged.append(f"{path.name}: {reason}")
    (folder / LATEST).unlink(missing_ok=True)
    if damaged:
        raise UserError(
            f"{folder}: no checkpoint is sound ({'; '.join(damaged)}); bring one back, or start anew with "
            "save_overwrite=true instead of autoresume=true"
        )


def set_aside_if_damaged(path: Path) -> str | None:
    """Rename a checkpoint that cannot be used, with a note, and return why; None for a sound one.

    Raises:
        UserError: as `damage_of`.
    """
    reason = damage_of(path)
    if reason is not None:
        path.rename(path.with_name(path.name + DAMAGED))
        seal_of(path).unlink(missing_ok=True)
        print(f"note: {path}: set aside as {path.name}{DAMAGED}: {reason}", file=sys.stderr)
    return reason


def damage_of(path: Path) -> str | None:
    """Why a checkpoint cannot be used, or None.

    Raises:
        UserError: it is whole, and would run code.
    """
    if seal_of(path).exists():
        expected, found = seal_of(path).read_text("ascii"), hash_file(path, HASH)
        return None if expected == found else f"{HASH} is {found}, {expected} when it was saved"
    try:  # the run ended before it could seal it
        load_data(path)
    except DamagedError as error:
        return str(error)
    return None


def load_data(path: Path) -> dict[str, Any]:
    """Load a checkpoint to the CPU.

    Raises:
        UserError: as `require_data_only`, or when it does not load.
    """
    require_data_only(path)
    with _translated(path):
        return dict(torch.load(path, map_location="cpu", weights_only=False))


def require_data_only(path: Path) -> None:
    """Refuse a checkpoint that names anything but tensors and KNOWN: unpickling it would run what it names.

    Nothing of it is run to find that out.

    Raises:
        UserError: naming those parts, or when it is no checkpoint.
    """
    with _translated(path):
        names = sorted(set(torch.serialization.get_unsafe_globals_in_checkpoint(path)) - KNOWN)
    if names:
        raise UserError(
            f"{path}: refused: loading it would run {', '.join(names)}; a checkpoint of train/run.py holds "
            "data only"
        )


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except (RuntimeError, OSError, UnpicklingError, EOFError, ValueError, KeyError, TypeError) as error:
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise DamagedError(f"{path}: not a checkpoint, or a damaged one ({reason})") from error


def _checkpoints(folder: Path) -> list[Path]:
    return [folder / name for name in newest_first(path.name for path in folder.glob("*.pt"))]


def newest_first(names: Iterable[str]) -> list[str]:
    """Return those names that are checkpoints', the newest first."""
    return sorted((name for name in names if CHECKPOINT.fullmatch(name)), key=step_of, reverse=True)


def step_of(name: str) -> tuple[int, int]:
    """Return step and epoch of a checkpoint, by its name."""
    match = CHECKPOINT.fullmatch(name)
    return (int(match[2]), int(match[1])) if match else (-1, -1)


def seal_of(path: Path) -> Path:
    """Return where a checkpoint's seal lies."""
    return path.with_name(f"{path.name}.{HASH}")


def _point_to(path: Path) -> None:
    latest = path.with_name(LATEST)
    if latest.is_symlink() and latest.resolve() == path.resolve():
        return
    latest.unlink(missing_ok=True)
    latest.symlink_to(path.name)
