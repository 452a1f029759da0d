"""What every format writes and reads."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from open_clip.model import CLIP
from torch import Tensor

from engine.errors import UserError
from train.keeping import seals
from train.keeping.checkpoints import MODEL, ModelCard
from train.model.architecture import Architecture
from train.model.contrastive import build_clip


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


def filled(architecture: Architecture, weights: Mapping[str, Tensor], where: Path) -> CLIP:
    """Build a CLIP with given weights, in float32.

    Raises:
        UserError: they do not fit, or not all are there.
    """
    clip = build_clip(architecture, seed=0)
    try:
        clip.load_state_dict({name: value.to(torch.float32) for name, value in weights.items()}, strict=True)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:300]
        raise UserError(f"{where}: weights do not fit the configuration: {reason}") from error
    return clip.eval()


def read_json(path: Path, expected: str) -> dict[str, Any]:
    """Read a file that holds one object.

    Raises:
        UserError: it is missing (the message says what was `expected`), or not JSON.
    """
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        raise UserError(f"{path}: not found; expected {expected}") from error
    except (ValueError, TypeError) as error:
        raise UserError(f"{path}: not JSON: {error}") from error


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
