"""The folder of a run: one run in it, and its resolved config."""

from __future__ import annotations

import sys
from pathlib import Path

from composer.utils import dist

from engine.errors import UserError
from train import checkpoints, seals
from train.config import TrainConfig, to_yaml
from train.remote import RemoteFolder, is_remote


def run_folder(config: TrainConfig) -> Path | None:
    """Return where config.yaml, model.json and results.json go: save_folder, or runs/NAME where that is in a
    remote store."""
    if config.save_folder is None:
        return None
    return Path("runs", str(config.run_name)) if is_remote(config.save_folder) else Path(config.save_folder)


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
    if is_remote(config.save_folder) and not config.autoresume:
        _refuse_run_in_store(str(config.save_folder))
    if config.save_overwrite and folder is not None and dist.get_global_rank() == 0:
        seals.set_run_aside(folder)
    dist.barrier()


def _refuse_run_in_store(uri: str) -> None:
    """A new run's checkpoints would lie among another's there: nothing in a store is removed."""
    names: list[object] = [None]
    if dist.get_global_rank() == 0:
        names = [RemoteFolder(uri).names()]
    dist.broadcast_object_list(names)
    if names[0]:
        raise UserError(
            f"{uri}: there is a run already; go on with autoresume=true, or give another save_folder"
        )


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
