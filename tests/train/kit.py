"""A small model, a batch for it, and a step: what the tests of options hold against each other."""

from __future__ import annotations

from typing import Any

import torch
from open_clip.model import CLIP
from torch.nn.parallel import DistributedDataParallel

from train.model.architecture import (
    ModelConfig,
    TextConfig,
    TokenizerFacts,
    VisionConfig,
    resolve_architecture,
)
from train.model.contrastive import ContrastiveModel, Normalisation, build_clip
from train.model.loss import LossConfig

BATCH = 8
CONTEXT, END = 8, 99
TOKENIZER = TokenizerFacts("clip", "a" * 64, CONTEXT, END + 1, END, 0)
NORMALISATION = Normalisation((0.5,) * 3, (0.5,) * 3)
LOSSES = {"infonce": LossConfig(mask_identical=True, label_smoothing=0.1), "siglip": LossConfig("siglip")}
Grads = dict[str, torch.Tensor]


def small_clip(loss: str = "infonce", dropout: float = 0.5, **model: Any) -> CLIP:
    """Two blocks a tower, 16 patches: a CPU's normal draws come in blocks of 16, so any microbatches draw
    what the batch draws."""
    vision = VisionConfig(32, 2, 64, 8, patch_dropout=dropout)
    config = ModelConfig(embed_dim=16, vision=vision, text=TextConfig(2, 32, 2), **model)
    return build_clip(resolve_architecture(config, TOKENIZER, loss), 1)


def small_model(loss: str = "infonce", dropout: float = 0.5, **options: Any) -> ContrastiveModel:
    return ContrastiveModel(small_clip(loss, dropout), NORMALISATION, loss=LOSSES[loss], **options)


def small_batch(part: slice = slice(None), seed: int = 0) -> dict[str, torch.Tensor]:
    draws = torch.Generator().manual_seed(seed)
    text = torch.randint(1, END, (BATCH, CONTEXT), generator=draws)
    ends = torch.randint(3, CONTEXT, (BATCH,), generator=draws)
    text[torch.arange(BATCH), ends] = END
    text[torch.arange(CONTEXT) > ends[:, None]] = 0
    text[6] = text[1]
    return {"image": torch.randn(BATCH, 3, 32, 32, generator=draws)[part], "text": text[part]}


def step(model: torch.nn.Module, batch: dict[str, torch.Tensor]) -> Grads:
    """Loss, gradients and the draw that would come next."""
    torch.manual_seed(4)
    inner = model.module if isinstance(model, DistributedDataParallel) else model
    loss = inner.loss(model(batch), batch)
    torch.rand(1)  # as anything between the passes may draw
    loss.backward()
    grads = {name: p.grad for name, p in inner.named_parameters() if p.grad is not None}
    return {"loss": loss.detach(), "next draw": torch.rand(1), **grads}


def assert_same(found: Grads, expected: Grads, tolerance: float) -> None:
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=tolerance, atol=tolerance, msg=name)
