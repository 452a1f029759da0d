"""Before the first step: weights to start from, and towers that do not train (LiT, Zhai et al. 2022)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from open_clip.model import CLIP
from torch import Tensor

from engine.errors import UserError
from train.keeping import checkpoints, seals
from train.model.architecture import ModelConfig, StartWeights, TokenizerFacts
from train.model.contrastive import blocks_of

# Facts that OpenAI's files keep among the tensors.
NOT_WEIGHTS = {"input_resolution", "context_length", "vocab_size"}
SHOWN = 3


def lock_towers(clip: CLIP, config: ModelConfig) -> None:
    """Take locked parameters out of training; what they compute then has no graph, and no optimizer state.

    Raises:
        UserError: more unlocked groups than there are, or a tower that is no transformer.
    """
    if config.lock_image is not None:
        unlocked = config.lock_image.unlocked_groups
        _check_groups("model.lock_image.unlocked_groups", unlocked, len(blocks_of(clip.visual, "image")) + 2)
        clip.lock_image_tower(unlocked_groups=unlocked)
    if config.lock_text is not None:
        unlocked = config.lock_text.unlocked_layers
        _check_groups("model.lock_text.unlocked_layers", unlocked, len(blocks_of(clip, "text")) + 2)
        clip.lock_text_tower(unlocked_layers=unlocked)


def _check_groups(name: str, given: int, groups: int) -> None:
    if not 0 <= given < groups:
        raise UserError(
            f"{name}: {given} given; the tower has {groups} groups, so expected 0 to {groups - 1}, or no lock"
        )


def load_start(clip: CLIP, start: StartWeights, tokenizer: TokenizerFacts) -> None:
    """Copy weights from a file into `clip`, on whatever device it is.

    Args:
        clip: of the run.
        start: which file, and which towers of it.
        tokenizer: the data's; that of a checkpoint of ours must be the same, if its text tower is taken.

    Raises:
        UserError: the file cannot be read, or does not fit.
    """
    path = Path(start.path)
    path = path / seals.LATEST if path.is_dir() else path
    if start.towers != "image":
        _check_tokenizer(path, tokenizer)
    given = {name: value for name, value in _read(path).items() if name not in NOT_WEIGHTS}
    own = clip.state_dict()
    wanted = [name for name in own if _tower(name) == start.towers or start.towers == "both"]
    wanted = [name for name in wanted if name in given or _tower(name) != "logits"]
    _check_fit(path, given, {name: own[name] for name in wanted}, start.towers)
    clip.load_state_dict({**own, **{name: given[name] for name in wanted}})


def _tower(name: str) -> str:
    if name in ("logit_scale", "logit_bias"):
        return "logits"
    return "image" if name.startswith("visual.") else "text"


def _check_tokenizer(path: Path, tokenizer: TokenizerFacts) -> None:
    card = path.parent / checkpoints.MODEL
    if not card.exists():
        return
    theirs = checkpoints.ModelCard.load(card).tokenizer
    if theirs.fingerprint != tokenizer.fingerprint:
        raise UserError(
            f"model.weights.path: {path}: its text tower reads the tokenizer {theirs.name} "
            f"({theirs.fingerprint[:8]}), the data has {tokenizer.name} ({tokenizer.fingerprint[:8]}); shard "
            "the data with it, or take model.weights.towers=image"
        )


def _check_fit(path: Path, given: Mapping[str, Tensor], own: Mapping[str, Tensor], towers: str) -> None:
    missing = [name for name in own if name not in given]
    unknown = [n for n in given if n not in own and (towers == "both" or _tower(n) == towers)]
    other = [
        f"{name} is {list(given[name].shape)} there, {list(value.shape)} here"
        for name, value in own.items()
        if name in given and given[name].shape != value.shape
    ]
    found = [("it lacks", missing), ("it has besides", unknown), ("of other sizes", other)]
    problems = [f"{what}: {_some(names)}" for what, names in found if names]
    if problems:
        raise UserError(
            f"model.weights.path: {path}: not this model's weights: {'; '.join(problems)}; expected "
            "open_clip's names and sizes; give the model of the file, or with another tokenizer take "
            "model.weights.towers=image"
        )


def _some(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def _read(path: Path) -> dict[str, Tensor]:
    """Tensors under open_clip's names."""
    if not path.exists():
        raise UserError(f"model.weights.path: {path}: no such file; expected weights or a run's folder")
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    data: Any = seals.load_data(path)
    if "state" in data:
        prefix, data = "clip.", checkpoints.weights_in(data, path)
    else:
        prefix, data = "module.", data.get("state_dict", data)
    if not all(isinstance(value, Tensor) for value in data.values()):
        raise UserError(f"model.weights.path: {path}: not a state dict; expected tensors by name")
    return {str(name).removeprefix(prefix): value for name, value in data.items()}


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return dict(load_file(path))
    except (SafetensorError, OSError) as error:
        raise UserError(f"model.weights.path: {path}: not a safetensors file ({error})") from error
