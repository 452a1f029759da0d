"""amp_bf16 means bfloat16 on a CPU as well; features and weights stay float32."""

from __future__ import annotations

import pytest
import torch

from engine.errors import UserError
from train.model.architecture import (
    ModelConfig,
    TextConfig,
    TokenizerFacts,
    VisionConfig,
    resolve_architecture,
)
from train.model.contrastive import ContrastiveModel, Normalisation, build_clip
from train.model.precision import resolve_precision, trainer_precision, warn_of_fp16

without_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="the rules for CPUs")


def _model(precision: str) -> ContrastiveModel:
    config = ModelConfig(embed_dim=32, vision=VisionConfig(32, 2, 64, 16), text=TextConfig(2, 64, 2))
    clip = build_clip(resolve_architecture(config, TokenizerFacts("clip", "a" * 64, 8, 100, 99, 0)), 1)
    return ContrastiveModel(clip, Normalisation((0.5,) * 3, (0.5,) * 3), precision)


def _batch() -> dict[str, torch.Tensor]:
    draws = torch.Generator().manual_seed(0)
    text = torch.randint(1, 99, (4, 8), generator=draws)
    text[:, -1] = 99
    return {"image": torch.randn(4, 3, 32, 32, generator=draws), "text": text}


@without_gpu
def test_bfloat16_is_used_and_is_close() -> None:
    model, exact = _model("amp_bf16"), _model("fp32")
    found, expected = model(_batch()), exact(_batch())
    for name in ("image", "text"):
        assert found[name].dtype == torch.float32
        torch.testing.assert_close(found[name].norm(dim=1), torch.ones(4))
        difference = (found[name] - expected[name]).abs().max().item()
        assert 1e-5 < difference < 2e-2, name
    model.loss(found, _batch()).backward()
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    assert gradients
    assert all(g.dtype == torch.float32 for g in gradients)


@without_gpu
def test_names_on_a_cpu() -> None:
    assert resolve_precision("auto") == "fp32"
    assert resolve_precision("amp_bf16") == "amp_bf16"
    assert trainer_precision("amp_bf16") == "fp32"  # Composer's Trainer refuses it on a CPU
    with pytest.raises(UserError, match=r"amp_fp16.*no GPU"):
        resolve_precision("amp_fp16")


def test_float16_is_warned_of_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("fp32", "amp_bf16"):
        warn_of_fp16(name)
    assert capsys.readouterr().err == ""
    warn_of_fp16("amp_fp16")
    note = capsys.readouterr().err
    assert note.count("\n") == 1
    assert note.startswith("note: precision: amp_fp16: large CLIP models diverged in float16")
    assert "use amp_bf16" in note
