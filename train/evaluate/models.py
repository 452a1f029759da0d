"""Every kind of model that can be measured, opened as an encoder."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from open_clip.model import CLIP
from torch import Tensor

from engine.errors import UserError
from engine.native import hash_bytes
from engine.scoring.files import HF_CONFIG, OPEN_CLIP_CONFIG, ModelFiles, find_model
from engine.scoring.options import Compute, ModelChoice
from engine.scoring.scorer import (
    Loaded,
    Towers,
    exactly,
    load_model,
    resolve_compute,
    what_decides,
    with_transform,
)
from engine.scoring.tokens import TokenizerReader
from engine.scoring.transform import ImageTransform
from engine.tokenizers.base import fingerprint_of
from train.evaluate.encoder import ClipEncoder, Encoder, ModelOptions, use_own_gpu
from train.formats import hugging_face, open_clip_folder
from train.formats.tokenizer_files import is_clip
from train.heldout.zeroshot import data_tokenizer
from train.keeping import checkpoints
from train.keeping.checkpoints import MODEL, ModelCard
from train.keeping.seals import LATEST
from train.model.contrastive import text_features, text_length

# Fields of open_clip's that count in training only.
TRAINING_ONLY = ("patch_dropout",)
# What transformers' CLIPModel means by an end token of this id: the largest id of a text.
LARGEST = 2


def open_encoder(options: ModelOptions) -> Encoder:
    """Open a model on its device.

    Raises:
        UserError: it cannot be found or loaded, or its tokenizer or transform cannot be had.
    """
    compute = resolve_compute(options.device, options.precision)
    use_own_gpu(compute)
    path = Path(options.model).expanduser()
    if not options.averaged and not (path.is_file() or (path / LATEST).exists()):
        raise UserError(f"--weights trained: only runs of train/run.py have both kinds, {path} has one")
    if _is_ours(path):
        _refuse_what_is_not_ours(path, options)
        return _ours(path, options, compute)
    if path.is_dir() and not any((path / name).exists() for name in (OPEN_CLIP_CONFIG, HF_CONFIG)):
        raise UserError(
            f"model {path}: holds neither {LATEST} (a run of train/run.py) nor {OPEN_CLIP_CONFIG} "
            f"(open_clip) nor {HF_CONFIG} (Hugging Face)"
        )
    return _foreign(options, compute)


def _is_ours(path: Path) -> bool:
    """A checkpoint, a run, or a folder of train.export, which has the model's card."""
    return path.is_file() or (path / LATEST).exists() or (path / MODEL).exists()


def _refuse_what_is_not_ours(path: Path, options: ModelOptions) -> None:
    if path.is_file() and not (path.parent / MODEL).exists():
        raise UserError(
            f"model {path}: no {MODEL} beside it, so it is no checkpoint of train/run.py; weights of "
            f"open_clip's are given as ARCHITECTURE --pretrained {path}"
        )
    if options.pretrained is not None:
        raise UserError(
            f"--pretrained {options.pretrained}: {path} has weights; it is for architectures of open_clip's"
        )


def _ours(path: Path, options: ModelOptions, compute: Compute) -> Encoder:
    clip, card, own_tokenizer = _read(path, options.averaged)
    tokenizer = data_tokenizer(card.tokenizer, options.tokenizer or own_tokenizer)
    exactly()
    clip.eval().float().to(compute.device)
    normalisation = card.normalisation
    transform = ImageTransform(
        card.architecture.image_size, "torchvision", 0, "bicubic", normalisation.mean, normalisation.std
    )
    loaded = Loaded(clip.encode_image, partial(_cut, clip), transform, TokenizerReader(tokenizer), clip)
    loaded = with_transform(loaded, options.transform)
    deciding = {
        "kind": "veclip",
        "architecture": _forward(card),
        "weights": _hash(clip.state_dict()),
        "tokenizer": tokenizer.fingerprint,
        "transform": loaded.transform.describe(),
        "context": tokenizer.context_length,
        "precision": compute.precision,
    }
    where = path.resolve()
    name = f"{where.parent.name}/{where.name}" if where.is_file() else where.name
    return ClipEncoder(Towers(loaded, compute), compute, name, deciding)


def _read(path: Path, averaged: bool) -> tuple[CLIP, ModelCard, str | None]:
    """The model, its card, and where its tokenizer is if it lies beside it."""
    for config, format_ in ((OPEN_CLIP_CONFIG, open_clip_folder), (HF_CONFIG, hugging_face)):
        if path.is_dir() and (path / config).exists() and (path / MODEL).exists():
            card = ModelCard.load(path / MODEL)
            tokenizer = None if card.tokenizer.name == "clip" else str(path)
            return format_.read(path, tokenizer).clip, card, tokenizer
    model, card, _ = checkpoints.load_model(path, averaged)
    return model.clip, card, None


def _forward(card: ModelCard) -> dict[str, Any]:
    """What of an architecture counts after training."""
    architecture = card.architecture
    vision = {name: value for name, value in architecture.vision.items() if name not in TRAINING_ONLY}
    sizes = {"vision": vision, "text": dict(architecture.text)}
    return {"embed_dim": architecture.embed_dim, "quick_gelu": architecture.quick_gelu, **sizes}


def _hash(weights: Mapping[str, Tensor]) -> str:
    """Of tensors by name: a checkpoint holds much besides."""
    parts = {
        name: [list(value.shape), hash_bytes(value.detach().cpu().contiguous().numpy(), "xxh3_128")]
        for name, value in weights.items()
    }
    return fingerprint_of(parts)


def _foreign(options: ModelOptions, compute: Compute) -> Encoder:
    choice = ModelChoice(options.model, options.pretrained, None, options.tokenizer, options.transform)
    folder = find_model(choice).folder
    if choice.tokenizer is None and folder and not (folder / OPEN_CLIP_CONFIG).exists() and is_clip(folder):
        # transformers leaves out the cleaning of OpenAI's tokenizer
        choice = dataclasses.replace(choice, tokenizer="clip")
    files, _, loaded = load_model(choice, compute)
    deciding = what_decides(files, compute, loaded)
    deciding |= {"tokenizer": loaded.reader.fingerprint, "sizes": _sizes(files)}
    return ClipEncoder(Towers(_cutting(loaded), compute), compute, files.name, deciding)


def _sizes(files: ModelFiles) -> dict[str, Any]:
    """Of an architecture that no file says."""
    if files.folder is not None:
        return {}
    import open_clip

    return dict(open_clip.get_model_config(files.name))


def _cutting(loaded: Loaded) -> Loaded:
    """The same features without computing the padding, where that is known to be exact."""
    model = loaded.model
    if type(model) is CLIP:
        return dataclasses.replace(loaded, text=partial(_cut, model))
    if getattr(getattr(model, "config", None), "model_type", None) == "clip":
        return dataclasses.replace(loaded, text=partial(_cut_ids, loaded))
    return loaded


def _cut(model: CLIP, ids: Tensor, mask: Tensor | None) -> Tensor:
    return text_features(model, ids[:, : text_length(model, ids)])


def _cut_ids(loaded: Loaded, ids: Tensor, mask: Tensor | None) -> Tensor:
    """A CLIPModel is causal, too, and reads its feature where it finds the end token first."""
    end = loaded.model.config.text_config.eos_token_id
    ends = ids.argmax(dim=1) if end == LARGEST else (ids == end).int().argmax(dim=1)
    length = int(ends.max()) + 1
    return loaded.text(ids[:, :length], None if mask is None else mask[:, :length])
