"""The folder of a run: one run in it, and its resolved config."""

from __future__ import annotations

import sys
from pathlib import Path

import yaml
from composer.utils import dist

from engine.errors import UserError
from train.config import TrainConfig, to_yaml
from train.keeping import checkpoints, seals
from train.keeping.remote import RemoteFolder, is_remote
from train.together import fail_alike, on_first


def run_folder(config: TrainConfig) -> Path | None:
    """Return where config.yaml, model.json and results.json go: save_folder, or runs/NAME where that is in a
    remote store."""
    if config.save_folder is None:
        return None
    return Path("runs", str(config.run_name)) if is_remote(config.save_folder) else Path(config.save_folder)


def check_folder(config: TrainConfig, folder: Path | None) -> None:
    """Refuse to mix two runs in one folder, or in one store.

    Raises:
        UserError: on all ranks, when there is one and the config says neither to go on nor to start anew.
    """
    if folder is None:
        return
    fresh = not config.autoresume and not config.save_overwrite
    fail_alike(
        f"{folder}: there is a run already; go on with autoresume=true, start anew with "
        "save_overwrite=true, or give another run_name"
        if fresh and (folder / checkpoints.CONFIG).exists()
        else None
    )
    if is_remote(config.save_folder):
        on_first(lambda: _check_store(config, folder))
    if config.save_overwrite:
        on_first(lambda: seals.set_run_aside(folder))


def _check_store(config: TrainConfig, folder: Path) -> None:
    uri, path = str(config.save_folder), folder / checkpoints.CONFIG
    if not config.autoresume and RemoteFolder(uri).names():  # nothing in a store is removed
        raise UserError(
            f"{uri}: there is a run already; go on with autoresume=true, or give another save_folder"
        )
    known = yaml.safe_load(path.read_text(encoding="utf-8")) if path.exists() else {}
    if not config.save_overwrite and (known or {}).get("save_folder", uri) != uri:
        raise UserError(
            f"{folder}: holds the run of {known['save_folder']}, not of {uri}; give another run_name, or "
            "move the folder away"
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
