"""Operations of a step against a transformer's closed form, torch's count of a real step, and open_clip's."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from train.model.architecture import (
    Architecture,
    ModelConfig,
    TextConfig,
    TokenizerFacts,
    VisionConfig,
    resolve_architecture,
)
from train.model.contrastive import ContrastiveModel, Normalisation, build_clip
from train.watch.flops import count_flops, peak_flops

CLIP = TokenizerFacts("clip", "a" * 64, 77, 49408, 49407, 0)
SMALL = ModelConfig(
    embed_dim=48, vision=VisionConfig(64, 3, 96, 16, head_width=32), text=TextConfig(2, 80, 2)
)


def tower(layers: int, width: int, tokens: int, heads_out: int) -> float:
    """Forward pass: projections and MLP of 12 width^2 weights a layer, two products of tokens x tokens."""
    weights = 12 * width**2 * layers * tokens
    attention = 2 * layers * tokens**2 * width
    return 2 * (weights + attention + width * heads_out)


def patches(a: Architecture) -> int:
    return int(a.vision["image_size"] // a.vision["patch_size"]) ** 2


def embedding(a: Architecture) -> float:
    v = a.vision
    return float(2 * patches(a) * 3 * v["patch_size"] ** 2 * v["width"])


def image_tower(a: Architecture, kept: float = 1.0) -> float:
    return tower(a.vision["layers"], a.vision["width"], int(patches(a) * kept) + 1, a.embed_dim)


def step(a: Architecture, length: int, kept: float = 1.0) -> float:
    """Three forward passes; nobody needs the gradient of the pixels."""
    text = tower(a.text["layers"], a.text["width"], length, a.embed_dim)
    return 3 * (image_tower(a, kept) + text) + 2 * embedding(a)


@pytest.mark.parametrize("length", [5, 77])
@pytest.mark.parametrize("model", [SMALL, ModelConfig(name="ViT-B-16")], ids=["small", "b16"])
def test_a_step_is_three_forward_passes(model: ModelConfig, length: int) -> None:
    a = resolve_architecture(model, CLIP)
    assert count_flops(a).of(10, length) == pytest.approx(10 * step(a, length), rel=1e-9)


def test_open_clips_table_has_the_same_forward_pass() -> None:
    """ViT-B-16 in its docs/model_profile.csv: 41.09 GFLOPs a pair, forward."""
    found = count_flops(resolve_architecture(ModelConfig(name="ViT-B-16"), CLIP)).of(1, 77)
    assert found / 3 == pytest.approx(41.09e9, rel=0.02)


@pytest.mark.parametrize("microbatch", [None, 2])
def test_torch_counts_the_same_in_a_real_step(microbatch: int | None) -> None:
    """Texts cut at the longest; what microbatches or checkpointing compute again is not useful work."""
    a = resolve_architecture(dataclasses.replace(SMALL, grad_checkpointing=microbatch is not None), CLIP)
    model = ContrastiveModel(
        build_clip(a, 0), Normalisation((0.5,) * 3, (0.5,) * 3), microbatch=microbatch
    )  # fmt: skip
    text = torch.zeros(4, 77, dtype=torch.int64)
    text[:, 8] = 49407
    # The counter does not know the CPU's own attention kernels.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        outputs = model({"image": torch.randn(4, 3, 64, 64), "text": text})
        (outputs["image"].sum() + outputs["text"].sum()).backward()
    counted, expected = counter.get_total_flops(), count_flops(a).of(4, 9)
    if microbatch is None:
        assert counted == expected
    else:
        assert counted > 1.25 * expected


def test_dropped_patches_and_frozen_parts_cost_less() -> None:
    a = resolve_architecture(SMALL, CLIP)
    half = dataclasses.replace(a, vision={**a.vision, "patch_dropout": 0.5})
    assert count_flops(half).of(1, 20) == pytest.approx(step(half, 20, kept=0.5), rel=1e-9)
    names = [name for name, _ in build_clip(a, 0, device="meta").named_parameters()]
    locked = count_flops(a, {name for name in names if name.startswith("visual.")})
    assert locked.text == count_flops(a).text
    assert locked.image == pytest.approx(embedding(a) + image_tower(a), rel=1e-9)


def test_only_known_devices_have_a_peak() -> None:
    assert peak_flops("NVIDIA H100 80GB HBM3", "amp_bf16") == 989.5e12
    assert peak_flops("NVIDIA A100-SXM4-80GB", "amp_bf16") == 312e12
    assert peak_flops("NVIDIA H200", "fp32") == 67e12
    assert peak_flops("NVIDIA A10G", "amp_bf16") is None  # not an A10
    assert peak_flops("NVIDIA GeForce RTX 4090", "amp_bf16") is None
    assert peak_flops("Tesla T4", "amp_bf16") is None  # it has no bf16
