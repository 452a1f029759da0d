"""From a model section in YAML and the data's tokenizer to the sizes of a model."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from engine.errors import UserError
from engine.nearest import nearest

Pooling = Literal["auto", "argmax", "eos"]
# Temperature and bias that the logits start with: Radford et al. 2021 (2.5), Zhai et al. 2023 (algorithm 1).
INITIAL_LOGITS: Mapping[str, tuple[float, float | None]] = {"infonce": (0.07, None), "siglip": (0.1, -10.0)}


@dataclass(frozen=True)
class VisionConfig:
    """A vision transformer. Attributes: image_size and patch_size in pixels; heads = width / head_width."""

    image_size: int
    layers: int
    width: int
    patch_size: int
    head_width: int = 64
    patch_dropout: float = 0.0


@dataclass(frozen=True)
class TextConfig:
    """A causal text transformer.

    Attributes:
        context_length: tokens a text; null: the data set's.
        vocab_size: null: the tokenizer's.
        pooling: which position is the text's feature: `argmax` (the largest id, CLIP's end token), `eos`
            (the first end token, for tokenizers such as T5's); `auto` takes the one that fits the tokenizer.
    """

    layers: int
    width: int
    heads: int
    context_length: int | None = None
    vocab_size: int | None = None
    pooling: Pooling = "auto"


@dataclass(frozen=True)
class StartWeights:
    """Weights to start from instead of random ones.

    Attributes:
        path: an open_clip state dict (.safetensors, .pt), a checkpoint of open_clip's trainer, or one of ours
            or its run's folder (the averaged weights, where it has them).
        towers: which to take; the logit scale comes with `both`.
    """

    path: str
    towers: Literal["both", "image", "text"] = "both"


@dataclass(frozen=True)
class LockImage:
    """A locked image tower (LiT, Zhai et al. 2022).

    Attributes:
        unlocked_groups: so many groups, counted from the end as open_clip does, train all the same: the
            projection, the last block with the final norm, each block before it, the embeddings.
    """

    unlocked_groups: int = 0


@dataclass(frozen=True)
class LockText:
    """A locked text tower.

    Attributes:
        unlocked_layers: as LockImage's groups (open_clip's word for them here).
    """

    unlocked_layers: int = 0


@dataclass(frozen=True)
class ModelConfig:
    """Either `name` (one of open_clip's) or `embed_dim`, `vision` and `text`.

    Attributes:
        image_size: with `name` only: another input size, pixels (position embeddings are made to fit).
        patch_dropout: with `name` only: share of the patches that are left out in training.
        quick_gelu: OpenAI's approximation of GELU; null: what the named model has, otherwise exact GELU.
        init_temperature: the logit scale starts at log(1 / this); null: the loss's own (CLIP's 0.07, SigLIP's
            0.1).
        grad_checkpointing: recompute activations in the backward pass: less memory, about a third more time.
        weights: start from these instead of random ones, or null.
        lock_image: the image tower does not train, or null.
        lock_text: the text tower does not train, or null.
    """

    name: str | None = None
    image_size: int | None = None
    patch_dropout: float | None = None
    embed_dim: int | None = None
    vision: VisionConfig | None = None
    text: TextConfig | None = None
    quick_gelu: bool | None = None
    init_temperature: float | None = None
    grad_checkpointing: bool = False
    weights: StartWeights | None = None
    lock_image: LockImage | None = None
    lock_text: LockText | None = None

    def __post_init__(self) -> None:
        """Refuse a temperature without a logarithm, a share that is none, locks that leave nothing to learn.

        Raises:
            UserError: naming the setting.
        """
        share = self.patch_dropout if self.vision is None else self.vision.patch_dropout
        if share is not None and not 0 <= share < 1:
            raise UserError(f"model's patch_dropout: {share} given; expected 0 to below 1")
        if self.lock_image == LockImage() and self.lock_text == LockText():
            raise UserError("model: lock_image and lock_text leave nothing to learn; unlock one, or groups")
        if self.init_temperature is not None and not 0 < self.init_temperature < math.inf:
            raise UserError(
                f"model.init_temperature: {self.init_temperature} given; expected a number above 0"
            )


@dataclass(frozen=True)
class TokenizerFacts:
    """What the model must know of dataset.json's tokenizer."""

    name: str
    fingerprint: str
    context_length: int
    vocab_size: int
    eos_id: int
    pad_id: int


@dataclass(frozen=True)
class Architecture:
    """Everything needed to build the model.

    Attributes:
        vision: fields of open_clip's CLIPVisionCfg.
        text: fields of open_clip's CLIPTextCfg.
        init_logit_bias: None: the model has no bias of the logits.
    """

    embed_dim: int
    vision: Mapping[str, Any]
    text: Mapping[str, Any]
    quick_gelu: bool
    init_temperature: float
    grad_checkpointing: bool
    init_logit_bias: float | None = None

    @property
    def image_size(self) -> int:
        """Side of the input, pixels."""
        return int(self.vision["image_size"])


def resolve_architecture(
    config: ModelConfig, tokenizer: TokenizerFacts, loss: str = "infonce"
) -> Architecture:
    """Fits the model to the tokenizer that the data was sharded with, and its logits to the loss.

    Raises:
        UserError: unknown name, both or neither of name and sizes, or sizes that contradict the tokenizer.
    """
    base = _named(config) if config.name is not None else _sized(config)
    temperature, bias = INITIAL_LOGITS[loss]
    text = {**base["text_cfg"], **_text_fields(config.text, tokenizer)}
    if config.text is None and base["text_cfg"].get("hf_model_name"):
        raise UserError(
            f"model.name: {config.name} has a Hugging Face text tower; use one of open_clip's own"
        )
    return Architecture(
        embed_dim=base["embed_dim"],
        vision=base["vision_cfg"],
        text=text,
        quick_gelu=bool(base.get("quick_gelu", False)) if config.quick_gelu is None else config.quick_gelu,
        init_temperature=temperature if config.init_temperature is None else config.init_temperature,
        grad_checkpointing=config.grad_checkpointing,
        init_logit_bias=bias,
    )


def image_size_of(config: ModelConfig) -> int:
    """Side of the model's input in pixels, known without the data.

    Raises:
        UserError: as `resolve_architecture`.
    """
    base = _named(config) if config.name is not None else _sized(config)
    return int(base["vision_cfg"]["image_size"])


def _named(config: ModelConfig) -> dict[str, Any]:
    import open_clip

    if config.embed_dim is not None or config.vision is not None or config.text is not None:
        raise UserError("model: give either name or embed_dim, vision and text, not both")
    base = open_clip.get_model_config(config.name)
    if base is None:
        raise UserError(f"model.name: {config.name}: open_clip has no such model{_near(config.name)}")
    changes = {"image_size": config.image_size, "patch_dropout": config.patch_dropout}
    given = {name: value for name, value in changes.items() if value is not None}
    return {**base, "vision_cfg": {**base["vision_cfg"], **given}}


def _near(name: str | None) -> str:
    import open_clip

    known = [m for m in open_clip.list_models() if m.startswith("ViT")]
    return nearest(name or "", known, f"; known here: {', '.join(known)}")


def _sized(config: ModelConfig) -> dict[str, Any]:
    if config.embed_dim is None or config.vision is None or config.text is None:
        raise UserError("model: give name, or all of embed_dim, vision and text")
    for field in ("image_size", "patch_dropout"):
        if getattr(config, field) is not None:
            raise UserError(f"model.{field}: only with name; here it is model.vision.{field}")
    vision, text = config.vision, config.text
    if vision.width % vision.head_width:
        raise UserError(
            f"model.vision: width {vision.width} is not a multiple of head_width {vision.head_width}"
        )
    if text.width % text.heads:
        raise UserError(f"model.text: width {text.width} is not a multiple of heads {text.heads}")
    if vision.image_size % vision.patch_size:
        raise UserError(
            f"model.vision: image_size {vision.image_size} is no multiple of patch_size {vision.patch_size}"
        )
    sizes = {"layers": text.layers, "width": text.width, "heads": text.heads}
    return {"embed_dim": config.embed_dim, "vision_cfg": asdict(vision), "text_cfg": sizes}


def _text_fields(text: TextConfig | None, tokenizer: TokenizerFacts) -> dict[str, Any]:
    """The fields that the tokenizer decides, checked against what YAML says."""
    wanted = text.context_length if text else None
    if wanted is not None and wanted != tokenizer.context_length:
        raise UserError(
            f"model.text.context_length: {wanted} given, but the data set was tokenised with "
            f"{tokenizer.context_length}; shard it with --context-length {wanted}, or leave this out"
        )
    vocab = text.vocab_size if text and text.vocab_size is not None else tokenizer.vocab_size
    if vocab < tokenizer.vocab_size:
        raise UserError(
            f"model.text.vocab_size: {vocab} given, but the data set's tokenizer {tokenizer.name} has "
            f"{tokenizer.vocab_size} ids; leave this out"
        )
    return {
        "context_length": tokenizer.context_length,
        "vocab_size": vocab,
        "pool_type": _pooling(text.pooling if text else "auto", tokenizer),
        "eos_id": tokenizer.eos_id,
        "pad_id": tokenizer.pad_id,
    }


def _pooling(wanted: Pooling, tokenizer: TokenizerFacts) -> str:
    """`argmax` finds the end token only where it has the largest id of all."""
    largest = tokenizer.eos_id == tokenizer.vocab_size - 1
    if wanted == "argmax" and not largest:
        raise UserError(
            f"model.text.pooling: argmax needs the end token to have the largest id; {tokenizer.name} has "
            f"{tokenizer.eos_id} of {tokenizer.vocab_size}; use eos or auto"
        )
    return ("argmax" if largest else "eos") if wanted == "auto" else wanted
