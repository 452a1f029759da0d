"""open_clip's names of CLIP's weights and those of transformers' CLIPModel, one to one.

The same towers: transformers keeps query, key and value apart and projections transposed.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

PLAIN = {
    "logit_scale": "logit_scale",
    "token_embedding.weight": "text_model.embeddings.token_embedding.weight",
    "positional_embedding": "text_model.embeddings.position_embedding.weight",
    "visual.class_embedding": "vision_model.embeddings.class_embedding",
    "visual.conv1.weight": "vision_model.embeddings.patch_embedding.weight",
    "visual.positional_embedding": "vision_model.embeddings.position_embedding.weight",
}
NORMS = {
    "ln_final": "text_model.final_layer_norm",
    "visual.ln_pre": "vision_model.pre_layrnorm",  # transformers' spelling
    "visual.ln_post": "vision_model.post_layernorm",
}
TRANSPOSED = {"text_projection": "text_projection.weight", "visual.proj": "visual_projection.weight"}
BLOCKS = {
    "transformer.resblocks": "text_model.encoder.layers",
    "visual.transformer.resblocks": "vision_model.encoder.layers",
}
PARTS = {
    "ln_1": "layer_norm1",
    "ln_2": "layer_norm2",
    "attn.out_proj": "self_attn.out_proj",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
}
HEADS = ("q_proj", "k_proj", "v_proj")


def to_hugging_face(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return CLIPModel's state from open_clip's.

    Raises:
        KeyError: a weight that CLIPModel has no place for.
    """
    left = dict(weights)
    left.pop("attn_mask", None)  # a constant
    found = {new: left.pop(old) for old, new in _same(weights).items()}
    found |= {new: left.pop(old).T.contiguous() for old, new in TRANSPOSED.items()}
    for old, new in _blocks(weights):
        for kind in ("weight", "bias"):
            parts = left.pop(f"{old}.attn.in_proj_{kind}").chunk(3)
            names = (f"{new}.self_attn.{head}.{kind}" for head in HEADS)
            found |= {name: part.clone() for name, part in zip(names, parts, strict=True)}
    if left:
        raise KeyError(", ".join(sorted(left)))
    return found


def from_hugging_face(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return open_clip's state from CLIPModel's; the inverse of `to_hugging_face`.

    Raises:
        KeyError: a weight that is missing, or unknown.
    """
    # Older versions save these constants too.
    left = {name: value for name, value in weights.items() if not name.endswith("position_ids")}
    layers = {new: _count(left, new) for new in BLOCKS.values()}
    blocks = [(f"{old}.{i}", f"{new}.{i}") for old, new in BLOCKS.items() for i in range(layers[new])]
    names = _plain_names(blocks)
    found = {old: left.pop(new) for old, new in names.items()}
    found |= {old: left.pop(new).T.contiguous() for old, new in TRANSPOSED.items()}
    for old, new in blocks:
        for kind in ("weight", "bias"):
            parts = [left.pop(f"{new}.self_attn.{head}.{kind}") for head in HEADS]
            found[f"{old}.attn.in_proj_{kind}"] = torch.cat(parts)
    if left:
        raise KeyError(", ".join(sorted(left)))
    return found


def _same(weights: Mapping[str, Tensor]) -> dict[str, str]:
    return _plain_names(_blocks(weights))


def _plain_names(blocks: list[tuple[str, str]]) -> dict[str, str]:
    """Names of weights that differ in nothing else."""
    modules = dict(NORMS)
    for old, new in blocks:
        modules |= {f"{old}.{part}": f"{new}.{name}" for part, name in PARTS.items()}
    named = {f"{o}.{kind}": f"{n}.{kind}" for o, n in modules.items() for kind in ("weight", "bias")}
    return {**PLAIN, **named}


def _blocks(weights: Mapping[str, Tensor]) -> list[tuple[str, str]]:
    return [(f"{old}.{i}", f"{new}.{i}") for old, new in BLOCKS.items() for i in range(_count(weights, old))]


def _count(weights: Mapping[str, Tensor], prefix: str) -> int:
    numbers = [name[len(prefix) + 1 :].split(".")[0] for name in weights if name.startswith(f"{prefix}.")]
    return 1 + max(map(int, numbers), default=-1)
