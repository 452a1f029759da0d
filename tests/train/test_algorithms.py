"""What happens to the model around a step, fired as Composer fires it: the logit scale is held, gradients are
clipped."""

from __future__ import annotations

import math

import pytest
import torch
from composer.core import Engine, Event, State
from composer.devices import DeviceCPU
from composer.loggers import Logger
from open_clip.model import CLIP

from tests.train.test_model import _clip
from train.config import load_config
from train.model import ContrastiveModel, Normalisation
from train.session import _algorithms


def engine_of(*words: str) -> tuple[Engine, CLIP]:
    """A run's algorithms around a small model."""
    config = load_config("yamls/tiny_cpu.yaml", ["data.local=train", "retrieval=null", *words])
    model = ContrastiveModel(_clip("argmax"), Normalisation((0.5,) * 3, (0.5,) * 3))
    state = State(
        model=model,
        rank_zero_seed=1,
        run_name="test",
        device=DeviceCPU(),
        max_duration="1ba",
        algorithms=_algorithms(config),
    )
    state.set_dataloader([{}], "train")
    return Engine(state, Logger(state)), model.clip


@pytest.mark.parametrize(
    ("before", "after"), [(10.0, math.log(100)), (-1.0, 0.0), (3.0, 3.0)], ids=["above", "below", "within"]
)
def test_the_logit_scale_is_held_after_a_step(before: float, after: float) -> None:
    engine, clip = engine_of()
    parameter = clip.logit_scale
    with torch.no_grad():
        parameter.fill_(before)
    engine.run_event(Event.BATCH_END)
    assert float(parameter) == pytest.approx(after)
    assert clip.logit_scale is parameter  # the one that the optimizer knows
    assert parameter.requires_grad


def gradient_norm(model: torch.nn.Module) -> float:
    grads = [p.grad.flatten() for p in model.parameters() if p.grad is not None]
    return float(torch.linalg.vector_norm(torch.cat(grads)))


@pytest.mark.parametrize(
    ("setting", "factor", "expected"),
    [("0.5", 1e4, 0.5), ("0.5", 0.25, 0.25), ("null", 1e4, 1e4)],
    ids=["huge", "small", "off"],
)
def test_a_gradient_is_clipped_to_its_norm_before_the_step(
    setting: str, factor: float, expected: float
) -> None:
    engine, clip = engine_of(f"clip_grad_norm={setting}")
    draw = torch.Generator().manual_seed(3)
    for parameter in clip.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=draw)
    length = gradient_norm(clip)
    for parameter in clip.parameters():
        assert parameter.grad is not None
        parameter.grad *= factor / length
    assert clip.logit_scale.grad is not None
    direction = clip.logit_scale.grad / factor
    engine.run_event(Event.AFTER_TRAIN_BATCH)
    assert gradient_norm(clip) == pytest.approx(expected, rel=1e-4)
    torch.testing.assert_close(clip.logit_scale.grad / expected, direction, rtol=1e-3, atol=0)
