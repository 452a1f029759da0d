"""What a run leaves beside Composer's checkpoints, and how it is read back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml
from torch import Tensor

from engine.errors import UserError
from train.keeping.seals import LATEST, load_data
from train.model.architecture import Architecture, TokenizerFacts
from train.model.average import AverageWeights
from train.model.contrastive import ContrastiveModel, Normalisation, build_clip

CONFIG = "config.yaml"
MODEL = "model.json"
RESULTS = "results.json"
FORMAT = "veclip-model/1"


@dataclass(frozen=True)
class ModelCard:
    """model.json: all that is needed to build the model again and to feed it, without the training data."""

    architecture: Architecture
    tokenizer: TokenizerFacts
    normalisation: Normalisation

    def save(self, path: Path) -> None:
        """Writes the card."""
        path.write_text(json.dumps({"format": FORMAT, **asdict(self)}, indent=2) + "\n", encoding="utf-8")

    @staticmethod
    def load(path: Path) -> ModelCard:
        """Reads a card.

        Raises:
            UserError: not there, or not a card.
        """
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            if values.get("format") != FORMAT:
                raise ValueError(f"format {values.get('format')!r}, expected {FORMAT!r}")
            return ModelCard(
                Architecture(**values["architecture"]),
                TokenizerFacts(**values["tokenizer"]),
                Normalisation(*(tuple(values["normalisation"][part]) for part in ("mean", "std"))),
            )
        except FileNotFoundError as error:
            raise UserError(f"{path}: not found; it lies beside the checkpoints of train/run.py") from error
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f"{path}: not a model card of this version: {error}") from error


def read_tokenizer(folder: str | Path) -> TokenizerFacts:
    """The tokenizer of the data set in `folder`, from its dataset.json.

    Raises:
        UserError: the file is missing or lacks a field.
    """
    path = Path(folder) / "dataset.json"
    try:
        described = json.loads(path.read_text(encoding="utf-8"))["tokenizer"]
        return TokenizerFacts(**{name: described[name] for name in TokenizerFacts.__dataclass_fields__})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{path}: cannot read the tokenizer ({error!r}); shard the data with engine.shard"
        ) from error


def load_model(where: str | Path, averaged: bool = True) -> tuple[ContrastiveModel, ModelCard, Path]:
    """A trained model from a run's folder (its latest checkpoint) or a checkpoint file with model.json
    beside it.

    Args:
        where: the folder or file.
        averaged: take the averaged weights (`ema`), if the checkpoint has them.

    Raises:
        UserError: nothing there, or weights that do not fit the card.
    """
    path = Path(where)
    path = path / LATEST if path.is_dir() else path
    if not path.exists():
        raise UserError(
            f"{where}: no checkpoint; expected a run's folder with {LATEST}, or a checkpoint file of it"
        )
    card = ModelCard.load(path.parent / MODEL)
    model = ContrastiveModel(build_clip(card.architecture, seed=0), card.normalisation)
    try:
        model.load_state_dict(weights_in(load_data(path), path, averaged))
    except RuntimeError as error:
        raise UserError(
            f"{path}: does not fit {path.parent / MODEL}: {' '.join(str(error).split())}"
        ) from error
    return model, card, path.resolve()


def weights_in(data: Mapping[str, Any], path: Path, averaged: bool = True) -> dict[str, Tensor]:
    """The weights of a checkpoint of ours, by name: the averaged ones, where it has them and they are wanted.

    Raises:
        UserError: not a Composer checkpoint.
    """
    try:
        state = data["state"]
        average = dict(state.get("algorithms", ())).get(AverageWeights.__qualname__, {})
        return {**state["model"], **(average.get("weights", {}) if averaged else {})}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{path}: not a Composer checkpoint ({type(error).__name__}: {error})") from error


def differences(old: str, new: str) -> list[str]:
    """Settings that differ between two configs in YAML: `optimizer.lr: 0.001 -> 0.0005`."""
    before, after = flat(yaml.safe_load(old)), flat(yaml.safe_load(new))
    names = [*before, *(n for n in after if n not in before)]
    return [
        f"{name}: {before.get(name, 'not set')} -> {after.get(name, 'not set')}"
        for name in names
        if before.get(name, "not set") != after.get(name, "not set")
    ]


def flat(value: Any, path: str = "") -> dict[str, Any]:
    """Nested settings by dotted name."""
    if not isinstance(value, dict):
        return {path: value}
    return {
        k: v for key, item in value.items() for k, v in flat(item, f"{path}.{key}" if path else key).items()
    }
