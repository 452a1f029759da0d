"""What a run starts from: a checkpoint of its own, of another run, or nothing."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from composer.utils import dist

from engine.errors import UserError
from engine.native import hash_file
from train.config import TrainConfig
from train.keeping import seals
from train.keeping.remote import RemoteFolder, bring, bring_newest, is_remote
from train.together import agree, attempt, fail_alike


@dataclass(frozen=True)
class Beginning:
    """What Composer's Trainer is told to load, by its own names."""

    load_path: str | None
    load_weights_only: bool


def choose_beginning(config: TrainConfig, folder: Path | None) -> Beginning:
    """Choose the checkpoint to go on from, and refuse files that would run code.

    Composer's own autoresume is not used: in a folder that several nodes share, their leaders remove each
    other's signal files, and the run ends (docs/decisions/0079).

    Raises:
        UserError: as `train.keeping.seals` and `train.keeping.remote`, or when not every rank sees the file.
    """
    if config.autoresume and folder is not None:
        name = agree(lambda: _newest_here(config, folder))
        if name is not None:
            return Beginning(_seen_by_all(config, folder / name), load_weights_only=False)
    path = config.load_path
    if path is not None and is_remote(path):
        path = _fetched(path)
    if path is not None:
        seals.require_data_only(Path(path))
    return Beginning(path, config.load_weights_only)


def _newest_here(config: TrainConfig, folder: Path) -> str | None:
    """Return the name of the newest sound checkpoint in `folder`, brought there from the store if need be."""
    latest = folder / seals.LATEST
    if config.save_folder is not None and is_remote(config.save_folder):
        with suppress(UserError):  # those here are all damaged; the store may have another
            seals.choose_sound(folder)
        bring_newest(RemoteFolder(config.save_folder), folder)
    seals.choose_sound(folder)
    if not latest.exists():
        return None
    seals.require_data_only(latest)
    return latest.resolve().name


def _seen_by_all(config: TrainConfig, path: Path) -> str:
    """Return a checkpoint's path, once each node has it: in a folder that they share, or brought there.

    What another node has under that name may be of another run.
    """
    wanted = agree(lambda: hash_file(path, seals.HASH))
    leads = dist.get_local_rank() == 0
    if is_remote(config.save_folder) and leads and _hash_of(path) != wanted:
        path.parent.mkdir(parents=True, exist_ok=True)
        remote = str(config.save_folder)
        _, failure = attempt(lambda: bring(RemoteFolder(remote), path.name, path.parent))
    else:
        failure = None
    fail_alike(failure)
    found = dist.all_gather_object(_hash_of(path) if leads else wanted)
    if any(hashed != wanted for hashed in found):
        raise UserError(
            f"{path}: not every node sees it; save_folder must lie on a file system that all nodes share, "
            "or be a remote store (s3://...)"
        )
    return str(path)


def _hash_of(path: Path) -> str | None:
    return hash_file(path, seals.HASH) if path.exists() else None


def _fetched(uri: str) -> str:
    """Return where this node's first rank has put a checkpoint of a store; it is removed at the end."""
    place, _, name = uri.rpartition("/")
    path, failure = "", None
    if dist.get_local_rank() == 0:
        folder = tempfile.mkdtemp(prefix="veclip-load-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        path = os.path.join(folder, name)
        _, failure = attempt(lambda: RemoteFolder(place).download(name, Path(path)))
    fail_alike(failure)
    return str(dist.all_gather_object(path)[dist.get_global_rank() - dist.get_local_rank()])
