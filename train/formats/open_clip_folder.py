"""A folder that `open_clip.create_model_and_transforms("local-dir:FOLDER")` loads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from engine.errors import UserError
from loaders.images import CLIP_MEAN, CLIP_STD
from train.formats.model import Exported, filled, new_folder, read_json
from train.formats.tokenizer_files import read_tokenizer_facts, write_tokenizer
from train.keeping.checkpoints import MODEL, ModelCard
from train.model.architecture import Architecture
from train.model.contrastive import Normalisation

CONFIG, WEIGHTS = "open_clip_config.json", "open_clip_model.safetensors"
DEFAULT_CONTEXT, DEFAULT_VOCAB = 77, 49_408


def write(model: Exported, out: Path, tokenizer: str | None = None) -> None:
    """Write open_clip_config.json, open_clip_model.safetensors and, but for CLIP's own, a tokenizer's files.

    Args:
        model: what to write.
        out: a new folder.
        tokenizer: where a tokenizer other than `clip` is: a folder, or a name on the Hub.

    Raises:
        UserError: `out` is not empty, or the tokenizer is not the model's.
    """
    new_folder(out)
    facts = model.card.tokenizer
    config = {"model_cfg": _model(model.card), "preprocess_cfg": _preprocess(model.card)}
    if facts.name != "clip":
        write_tokenizer(facts, out, tokenizer)
        config["model_cfg"]["text_cfg"]["hf_tokenizer_name"] = facts.name
    (out / CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    weights = {name: value.contiguous() for name, value in model.clip.state_dict().items()}
    save_file(weights, out / WEIGHTS, {"format": "pt"})
    model.card.save(out / MODEL)  # by which train.evaluate knows the model, text for text


def _model(card: ModelCard) -> dict[str, Any]:
    a = card.architecture
    vision = {name: value for name, value in a.vision.items() if name != "patch_dropout"}  # of training only
    config = {"embed_dim": a.embed_dim, "vision_cfg": vision, "text_cfg": dict(a.text)}
    if a.quick_gelu:
        config["quick_gelu"] = True
    if a.init_logit_bias is not None:
        config["init_logit_bias"] = a.init_logit_bias
    return config


def _preprocess(card: ModelCard) -> dict[str, Any]:
    return {
        "size": card.architecture.image_size,
        "mode": "RGB",
        "mean": list(card.normalisation.mean),
        "std": list(card.normalisation.std),
        "interpolation": "bicubic",
        "resize_mode": "shortest",
    }


def read(folder: Path, tokenizer: str | None = None) -> Exported:
    """Read a folder of open_clip's: its configuration, and weights as safetensors.

    Args:
        folder: where it is.
        tokenizer: overrides what the configuration says.

    Raises:
        UserError: files are missing, of another kind of model, or do not fit each other.
    """
    config = read_json(folder / CONFIG, "a folder of open_clip's")
    try:
        architecture = _architecture(config["model_cfg"])
        weights = load_file(folder / WEIGHTS)
    except FileNotFoundError as error:
        raise UserError(f"{folder}: no {WEIGHTS}; expected weights as safetensors") from error
    except (KeyError, TypeError, SafetensorError) as error:
        raise UserError(f"{folder}: not a model that can be read: {error}") from error
    clip = filled(architecture, weights, folder)
    named = config["model_cfg"]["text_cfg"].get("hf_tokenizer_name")
    facts = read_tokenizer_facts(folder, architecture.text, tokenizer or (None if named else "clip"))
    preprocess = config.get("preprocess_cfg", {})
    normalisation = Normalisation(
        tuple(preprocess.get("mean", CLIP_MEAN)), tuple(preprocess.get("std", CLIP_STD))
    )
    return Exported(clip, ModelCard(architecture, facts, normalisation))


def _architecture(config: dict[str, Any]) -> Architecture:
    text = {"context_length": DEFAULT_CONTEXT, "vocab_size": DEFAULT_VOCAB, **config["text_cfg"]}
    for name in ("hf_tokenizer_name", "tokenizer_kwargs"):
        text.pop(name, None)
    for section, name in (("text_cfg", "hf_model_name"), ("vision_cfg", "timm_model_name")):
        if config[section].get(name):
            raise KeyError(f"{section}.{name}: towers from other libraries are not supported")
    return Architecture(
        embed_dim=config["embed_dim"],
        vision=config["vision_cfg"],
        text=text,
        quick_gelu=bool(config.get("quick_gelu", False)),
        init_temperature=0.07,
        grad_checkpointing=False,
        init_logit_bias=config.get("init_logit_bias"),
    )
