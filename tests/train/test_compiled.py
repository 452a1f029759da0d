"""Compiled blocks and channels-last images train as the model without them does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch._dynamo.utils import counters

from engine.errors import UserError
from tests.train.kit import NORMALISATION, assert_same, small_batch, small_clip, small_model, step
from train.model.compiled import compile_blocks, eager, require_compiler
from train.model.contrastive import ContrastiveModel, encode_text

# Captures and guards as inductor's does, without its C++: seconds instead of minutes.
BACKEND = "aot_eager"


def compiled(**options: Any) -> ContrastiveModel:
    torch._dynamo.reset()
    model = small_model(**options)
    compile_blocks(model.clip, BACKEND)
    return model


@pytest.mark.parametrize(
    "options",
    [{"microbatch": 3}, *(pytest.param(x, marks=pytest.mark.slow) for x in ({}, {"channels_last": True}))],
    ids=str,
)
def test_a_compiled_step_is_the_same_step(options: dict[str, Any]) -> None:
    expected, model = step(small_model(**options), small_batch()), compiled(**options)
    counters.clear()
    assert_same(step(model, small_batch()), expected, 1e-5)
    assert counters["frames"]["ok"] >= 2
    assert model.state_dict().keys() == small_model(**options).state_dict().keys()


@pytest.mark.slow
def test_with_gradient_checkpointing_and_bfloat16() -> None:
    expected = step(small_model(precision="amp_bf16"), small_batch())
    model = compiled(precision="amp_bf16")
    model.clip.set_grad_checkpointing(True)
    for name, value in step(model, small_batch()).items():
        assert (expected[name] - value).norm() <= 3e-2 * value.norm() + 1e-6, name


@torch.no_grad()
def test_texts_of_any_length_have_one_code() -> None:
    clip = small_clip()
    expected = [clip.encode_text(_texts(length), normalize=True) for length in range(2, 9)]
    torch._dynamo.reset()
    compile_blocks(clip, BACKEND)
    counters.clear()
    for length, wanted in zip(range(2, 9), expected, strict=True):
        torch.testing.assert_close(encode_text(clip, _texts(length)), wanted, rtol=1e-5, atol=1e-5)
    assert counters["stats"]["unique_graphs"] == 1


def _texts(length: int) -> torch.Tensor:
    text = torch.zeros(4, 8, dtype=torch.int64)
    text[:, :length] = torch.arange(1, length + 1)
    text[:, length - 1] = 99
    return text


@torch.no_grad()
def test_evaluation_compiles_nothing() -> None:
    model = compiled()
    counters.clear()
    with eager(model.clip):
        model(small_batch())
    assert counters["stats"]["unique_graphs"] == 0


def test_no_compiler_is_one_line(tmp_path: Path) -> None:
    from torch._inductor import config, cpp_builder

    cpp_builder.cpp_compiler_search.cache_clear()
    missing = config.patch({"cpp.cxx": (None, str(tmp_path / "g++"))})
    with missing, pytest.raises(UserError, match=r"compile: torch\.compile needs a C\+\+ compiler"):
        require_compiler()
    cpp_builder.cpp_compiler_search.cache_clear()


def test_a_resnet_is_refused() -> None:
    clip = small_clip()
    clip.visual.transformer = None
    with pytest.raises(UserError, match="the image tower has no transformer blocks"):
        compile_blocks(clip, BACKEND)


@pytest.mark.parametrize("microbatch", [None, 3])
def test_channels_last_is_used_and_changes_nothing(microbatch: int | None) -> None:
    expected = step(small_model(microbatch=microbatch), small_batch())
    model, seen = small_model(microbatch=microbatch, channels_last=True), []
    model.clip.visual.conv1.register_forward_hook(lambda _, inputs, output: seen.extend((*inputs, output)))
    assert_same(step(model, small_batch()), expected, 1e-5)
    seen.append(model.clip.visual.conv1.weight)
    assert all(tensor.is_contiguous(memory_format=torch.channels_last) for tensor in seen)
    assert len(seen) in (3, 13)
    other = ContrastiveModel(small_clip(), NORMALISATION)
    other.load_state_dict(model.state_dict())  # a checkpoint serves both
