"""What every format writes and reads."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from open_clip.model import CLIP

from engine.errors import UserError
from train import seals
from train.checkpoints import MODEL, ModelCard


@dataclass(frozen=True)
class Exported:
    """A model with what it takes to feed it.

    Attributes:
        clip: float32, on the CPU, in evaluation mode.
        card: sizes, tokenizer and normalisation.
    """

    clip: CLIP
    card: ModelCard


def new_folder(out: Path) -> Path:
    """Make the folder that a model is written to.

    Raises:
        UserError: there is something in it.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out}: already there and not empty; give a new folder")
    out.mkdir(parents=True, exist_ok=True)
    return out


def save_as_run(model: Exported, out: Path) -> Path:
    """Keep a model as train/run.py keeps its own: a checkpoint with weights alone, its seal, and model.json.

    Returns:
        The checkpoint.

    Raises:
        UserError: `out` is not empty.
    """
    new_folder(out)
    model.card.save(out / MODEL)
    weights = {f"clip.{name}": value for name, value in model.clip.state_dict().items()}
    path = out / "ep0-ba0-rank0.pt"
    torch.save({"state": {"model": weights}, "rng": []}, path)
    seals.seal(out, since_ns=0)
    seals.choose_sound(out)
    return path
