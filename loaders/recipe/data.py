"""The part of a training recipe that decides what a run sees: train/config.py builds on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from engine.errors import UserError
from loaders.loader import DataConfig
from loaders.recipe.sources import apply_overrides, read_yaml
from loaders.recipe.strict import build

SEED = 17
"""Of weights and draws, where a recipe gives none."""
DERIVED = {
    "batch_size": "global_train_batch_size (it is that, over the number of ranks)",
    "channels_last": "channels_last at the top",
    "image_size": "the model's image_size",
    "tokenizer_fingerprint": "nothing: the model is fitted to the data set's tokenizer",
    "tokenizer_name": "nothing: the model is fitted to the data set's tokenizer",
    "max_duration": "max_duration",
    "shuffle_algo": "nothing: there is one order (docs/architecture.md, Order of an epoch)",
}


def read_data_recipe(path: str | Path, words: Sequence[str] = (), ranks: int = 1) -> DataConfig:
    """Read the data's part of a recipe; the rest is not looked at.

    Args:
        path: a YAML file as train/run.py takes it, such as config.yaml in a run's folder.
        words: overrides such as `data.seed=3`.
        ranks: that share the global batch.

    Returns:
        What one of them reads; one alone reads the global batch.

    Raises:
        UserError: for a recipe without data, a batch or a model, or a setting of data that does not fit.
    """
    values = apply_overrides(read_yaml(path), words)
    if not isinstance(values.get("data"), Mapping):
        raise UserError(f"{path}: no section data; expected a recipe of train/run.py")
    refuse_derived("data", values["data"], DERIVED)
    return build(DataConfig, data_section(values, ranks, image_side(values.get("model"))), "data")


def refuse_derived(section: str, given: Mapping[str, Any], derived: Mapping[str, str]) -> None:
    """Refuse settings of a section that follow from others; `derived` says from what.

    Raises:
        UserError: naming the setting.
    """
    for key in derived:
        if key in given:
            raise UserError(f"{section}.{key}: cannot be given; it follows from {derived[key]}")


def data_section(values: Mapping[str, Any], world_size: int, image_size: int) -> dict[str, Any]:
    """Return the section `data` of a recipe with what follows from other settings.

    Raises:
        UserError: when the global batch does not divide among `world_size` ranks.
    """
    own = {"seed": values.get("seed", SEED), **values["data"]}
    duration = values.get("max_duration")
    return {
        **own,
        "batch_size": rank_batch(values, world_size),
        "image_size": image_size,
        "channels_last": values.get("channels_last", False),
        "max_duration": None if duration is None else str(duration),
    }


def rank_batch(values: Mapping[str, Any], world_size: int) -> int:
    """Return the samples of a step on each rank."""
    total = values.get("global_train_batch_size")
    if type(total) is not int or total < 1:
        raise UserError(f"global_train_batch_size: expected a whole number of at least 1, got {total!r}")
    if total % world_size:
        raise UserError(
            f"global_train_batch_size: {total} does not divide among {world_size} ranks; "
            f"give a multiple of {world_size}, such as {total - total % world_size or world_size}"
        )
    return total // world_size


def image_side(model: object) -> int:
    """Return the side of a model's input in pixels, from a recipe's section `model`.

    Raises:
        UserError: when neither the section nor open_clip's table of names says it.
    """
    section = model if isinstance(model, Mapping) else {}
    vision = section.get("vision")
    side = vision.get("image_size") if isinstance(vision, Mapping) else section.get("image_size")
    if side is None and isinstance(section.get("name"), str):
        side = _named_side(section["name"])
    if type(side) is not int:
        raise UserError(
            f"model: no image size in {dict(section)!r}; give vision.image_size or one of open_clip's names"
        )
    return side


def _named_side(name: str) -> object:
    import open_clip

    return ((open_clip.get_model_config(name) or {}).get("vision_cfg") or {}).get("image_size")
