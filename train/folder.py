"""The folder of a run: one run in it, its resolved config, and the checkpoint to go on from."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from composer.utils import dist

from engine.errors import UserError
from train import checkpoints, seals
from train.config import TrainConfig, to_yaml


def run_folder(config: TrainConfig) -> Path | None:
    """Return where config.yaml, model.json and results.json go: save_folder, or runs/NAME where that is in a
    remote store."""
    if config.save_folder is None:
        return None
    return Path("runs", str(config.run_name)) if _is_remote(config.save_folder) else Path(config.save_folder)


def check_folder(config: TrainConfig, folder: Path | None) -> None:
    """Refuse to mix two runs in one folder.

    Raises:
        UserError: there is a run already, and the config says neither to go on nor to start anew.
    """
    fresh = folder is not None and not config.autoresume and not config.save_overwrite
    if fresh and folder is not None and (folder / checkpoints.CONFIG).exists():
        raise UserError(
            f"{folder}: there is a run already; go on with autoresume=true, start anew with "
            "save_overwrite=true, or give another run_name"
        )
    if config.save_overwrite and folder is not None and dist.get_global_rank() == 0:
        seals.set_run_aside(folder)
    dist.barrier()


@dataclass(frozen=True)
class Beginning:
    """What Composer's Trainer is told to load: its own names."""

    load_path: str | None
    load_weights_only: bool
    autoresume: bool


def choose_beginning(config: TrainConfig, folder: Path | None) -> Beginning:
    """Choose the checkpoint to go on from, and refuse files that would run code, remote ones apart.

    Composer's own autoresume looks in a remote save_folder only: in a folder that several nodes share, their
    leaders remove each other's signal files there, and the run ends.

    Raises:
        UserError: as `train.seals`, or when not every rank sees the file.
    """
    if config.autoresume and folder is not None and not _is_remote(config.save_folder):
        latest = _choose_checkpoint(folder)
        if latest is not None:
            return Beginning(latest, load_weights_only=False, autoresume=False)
    if config.load_path is not None and not _is_remote(config.load_path):
        seals.require_data_only(Path(config.load_path))
    return Beginning(
        config.load_path, config.load_weights_only, config.autoresume and _is_remote(config.save_folder)
    )


def _is_remote(place: str | None) -> bool:
    return place is not None and "://" in place


def _choose_checkpoint(folder: Path) -> str | None:
    """Choose on rank 0, whose view of the folder counts; all ranks return and fail alike."""
    latest, answer = folder / seals.LATEST, ["", ""]
    if dist.get_global_rank() == 0:
        try:
            seals.choose_sound(folder)
            if latest.exists():
                seals.require_data_only(latest)
                answer[0] = os.path.realpath(latest)
        except UserError as error:
            answer[1] = str(error)
    dist.broadcast_object_list(answer)
    path, failure = answer
    if failure:
        raise UserError(failure)
    if path and not all(dist.all_gather_object(os.path.exists(path))):
        raise UserError(
            f"{path}: not every node sees it; save_folder must lie on a file system that all nodes share, "
            "or be a remote store (s3://...)"
        )
    return path or None


def save_card(config: TrainConfig, folder: Path | None, card: checkpoints.ModelCard) -> None:
    """Print the resolved config and write it and the model card (rank 0)."""
    text = to_yaml(config)
    if dist.get_global_rank() != 0:
        return
    print(text, file=sys.stderr)
    if folder is None:
        return
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / checkpoints.CONFIG
    if config.autoresume and path.exists():
        for change in checkpoints.differences(path.read_text(encoding="utf-8"), text):
            print(f"note: changed since the run began: {change}", file=sys.stderr)
    path.write_text(text, encoding="utf-8")
    card.save(folder / checkpoints.MODEL)
