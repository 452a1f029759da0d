"""A folder that transformers' CLIPModel, CLIPProcessor and AutoTokenizer load."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from engine.errors import UserError
from loaders.images import CLIP_MEAN, CLIP_STD
from train.formats.hf_names import from_hugging_face, to_hugging_face
from train.formats.model import Exported, filled, new_folder, read_json
from train.formats.tokenizer_files import read_tokenizer_facts, write_tokenizer
from train.keeping.checkpoints import MODEL, ModelCard
from train.model.architecture import Architecture
from train.model.contrastive import Normalisation

WEIGHTS, CONFIG, PROCESSOR = "model.safetensors", "config.json", "preprocessor_config.json"
BICUBIC = 3  # as PIL counts
# open_clip's fields of a vision or text tower that CLIPModel has, by its names for them.
KNOWN_VISION = {"image_size", "layers", "width", "patch_size", "head_width", "patch_dropout", "mlp_ratio"}
KNOWN_TEXT = {"layers", "width", "heads", "context_length", "vocab_size", "pool_type", "eos_id", "pad_id"}
# transformers takes the largest id instead of the first end token where the end token is said to be 2.
LEGACY_EOS = 2


def write(model: Exported, out: Path, tokenizer: str | None = None) -> None:
    """Write config.json, model.safetensors, preprocessor_config.json and the tokenizer's files.

    Args:
        model: what to write.
        out: a new folder.
        tokenizer: where a tokenizer other than `clip` is: a folder, or a name on the Hub.

    Raises:
        UserError: `out` is not empty, or CLIPModel has no such model.
    """
    _refuse_what_it_lacks(model.card.architecture)
    new_folder(out)
    write_tokenizer(model.card.tokenizer, out, tokenizer)  # first, as it may be refused
    weights = to_hugging_face(model.clip.state_dict())
    save_file({name: value.contiguous() for name, value in weights.items()}, out / WEIGHTS, {"format": "pt"})
    _write_json(out / CONFIG, _config(model.card, float(weights["logit_scale"])))
    _write_json(out / PROCESSOR, _processor(model.card))
    model.card.save(out / MODEL)  # by which train.evaluate knows the model, text for text


def _refuse_what_it_lacks(a: Architecture) -> None:
    extra = {f"vision.{k}" for k in set(a.vision) - KNOWN_VISION} | {
        f"text.{k}" for k in set(a.text) - KNOWN_TEXT
    }
    if a.init_logit_bias is not None:
        extra.add("a bias of the logits (SigLIP's loss)")
    if a.text.get("eos_id") == LEGACY_EOS:
        extra.add("an end token with the id 2")
    if extra:
        raise UserError(
            f"transformers' CLIPModel has no {', '.join(sorted(extra))}; export to open_clip instead"
        )


def _config(card: ModelCard, logit_scale: float) -> dict[str, Any]:
    a = card.architecture
    act = "quick_gelu" if a.quick_gelu else "gelu"
    shared = {"hidden_act": act, "layer_norm_eps": 1e-5, "attention_dropout": 0.0}
    vision, text = a.vision, a.text
    return {
        "architectures": ["CLIPModel"],
        "model_type": "clip",
        "projection_dim": a.embed_dim,
        "logit_scale_init_value": logit_scale,
        "dtype": "float32",
        "vision_config": {
            **shared,
            "model_type": "clip_vision_model",
            "image_size": vision["image_size"],
            "patch_size": vision["patch_size"],
            "hidden_size": vision["width"],
            "intermediate_size": int(vision["width"] * vision.get("mlp_ratio", 4.0)),
            "num_hidden_layers": vision["layers"],
            "num_attention_heads": vision["width"] // vision.get("head_width", 64),
            "projection_dim": a.embed_dim,
        },
        "text_config": {
            **shared,
            "model_type": "clip_text_model",
            "vocab_size": text["vocab_size"],
            "hidden_size": text["width"],
            "intermediate_size": 4 * text["width"],
            "num_hidden_layers": text["layers"],
            "num_attention_heads": text["heads"],
            "max_position_embeddings": text["context_length"],
            "bos_token_id": None,
            "eos_token_id": text["eos_id"],
            "pad_token_id": text["pad_id"],
            "projection_dim": a.embed_dim,
        },
    }


def _processor(card: ModelCard) -> dict[str, Any]:
    size = card.architecture.image_size
    return {
        "image_processor_type": "CLIPImageProcessor",
        "processor_class": "CLIPProcessor",
        "do_convert_rgb": True,
        "do_resize": True,
        "size": {"shortest_edge": size},
        "resample": BICUBIC,
        "do_center_crop": True,
        "crop_size": {"height": size, "width": size},
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": list(card.normalisation.mean),
        "image_std": list(card.normalisation.std),
    }


def _write_json(path: Path, value: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def read(folder: Path, tokenizer: str | None = None) -> Exported:
    """Read a CLIPModel's folder, such as one of the released VeCLIP models.

    Args:
        folder: where it is.
        tokenizer: overrides its tokenizer's files; needed where it has none.

    Raises:
        UserError: files are missing, not CLIP's, or do not fit each other.
    """
    config = read_json(folder / CONFIG, "a CLIPModel's folder")
    if config.get("model_type") != "clip":
        raise UserError(f"{folder / CONFIG}: model_type {config.get('model_type')!r}; expected clip")
    try:
        architecture = _architecture(config)
        weights = from_hugging_face(load_file(folder / WEIGHTS))
    except FileNotFoundError as error:
        raise UserError(f"{folder}: no {WEIGHTS}; expected a CLIPModel's folder with safetensors") from error
    except (KeyError, TypeError, ValueError, SafetensorError) as error:
        raise UserError(f"{folder}: not a CLIPModel that can be read: {error}") from error
    clip = filled(architecture, weights, folder)
    facts = read_tokenizer_facts(folder, architecture.text, tokenizer)
    return Exported(clip, ModelCard(architecture, facts, _normalisation(folder)))


def _architecture(config: Mapping[str, Any]) -> Architecture:
    """From transformers' own class, which knows what config.json leaves out."""
    from transformers import CLIPConfig

    whole = CLIPConfig(**config)  # type: ignore[no-untyped-call]
    vision, text = whole.vision_config, whole.text_config
    if vision.hidden_act != text.hidden_act or vision.hidden_act not in ("gelu", "quick_gelu"):
        raise ValueError(f"hidden_act {vision.hidden_act}, {text.hidden_act}; expected gelu or quick_gelu")
    if text.intermediate_size != 4 * text.hidden_size:
        raise ValueError("a text tower whose intermediate size is not four times its width")
    return Architecture(
        embed_dim=whole.projection_dim,
        vision={
            "image_size": vision.image_size,
            "patch_size": vision.patch_size,
            "width": vision.hidden_size,
            "layers": vision.num_hidden_layers,
            "head_width": vision.hidden_size // vision.num_attention_heads,
            "mlp_ratio": vision.intermediate_size / vision.hidden_size,
        },
        text={
            "layers": text.num_hidden_layers,
            "width": text.hidden_size,
            "heads": text.num_attention_heads,
            "context_length": text.max_position_embeddings,
            "vocab_size": text.vocab_size,
            "pool_type": "argmax" if text.eos_token_id == LEGACY_EOS else "eos",
            "eos_id": text.eos_token_id,
            "pad_id": text.pad_token_id or 0,
        },
        quick_gelu=vision.hidden_act == "quick_gelu",
        init_temperature=0.07,
        grad_checkpointing=False,
    )


def _normalisation(folder: Path) -> Normalisation:
    path = folder / PROCESSOR
    values = read_json(path, "a CLIPModel's folder") if path.exists() else {}
    mean, std = values.get("image_mean", CLIP_MEAN), values.get("image_std", CLIP_STD)
    return Normalisation(tuple(mean), tuple(std))
