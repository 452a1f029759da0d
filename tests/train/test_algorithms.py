"""What happens to the model around a step, fired as Composer fires it: the logit scale is held, gradients are
clipped."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from composer.core import Engine, Event, State
from composer.devices import DeviceCPU
from composer.loggers import Logger
from open_clip.model import CLIP

from engine.errors import UserError
from tests.train.test_model import _clip
from train.attachments import algorithms
from train.config import load_config
from train.model.average import AverageWeights
from train.model.contrastive import ContrastiveModel, Normalisation
from train.model.optim import make_plan
from train.stopping import StopNotice


def engine_of(*words: str, folder: Path | None = None) -> tuple[Engine, CLIP]:
    """A run's algorithms around a small model."""
    config = load_config("yamls/tiny_cpu.yaml", ["data.local=train", "retrieval=null", *words])
    model = ContrastiveModel(_clip("argmax"), Normalisation((0.5,) * 3, (0.5,) * 3))
    state = State(
        model=model,
        rank_zero_seed=1,
        run_name="test",
        device=DeviceCPU(),
        max_duration="1ba",
        algorithms=algorithms(config, StopNotice(), folder, model, make_plan("8ba", 64, 2)),
    )
    state.set_dataloader([{}], "train")
    state.batch = {"key": ["a", "b", "c", "d"]}
    state.loss = torch.tensor(1.0)
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


def fill_gradients(clip: CLIP, value: float) -> None:
    for parameter in clip.parameters():
        parameter.grad = torch.full_like(parameter, value)


@pytest.mark.parametrize(
    ("loss", "gradient"), [(math.nan, 0.1), (math.inf, 0.1), (1, math.nan), (1, math.inf)]
)
def test_a_step_that_is_not_finite_leaves_weights_and_moments_alone(
    loss: float, gradient: float, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    engine, clip = engine_of(folder=tmp_path)
    optimizer = torch.optim.AdamW(clip.parameters(), lr=0.1, weight_decay=0.2, fused=True)

    def step(loss: float, gradient: float) -> None:
        engine.state.loss = torch.tensor(loss)
        fill_gradients(clip, gradient)
        engine.run_event(Event.AFTER_TRAIN_BATCH)
        optimizer.step()

    step(1.0, 0.1)
    before = torch.cat([p.detach().flatten() for p in clip.parameters()])
    counts = [float(state["step"]) for state in optimizer.state.values()]
    step(loss, gradient)
    assert torch.equal(before, torch.cat([p.detach().flatten() for p in clip.parameters()]))
    assert [float(state["step"]) for state in optimizer.state.values()] == counts
    assert "samples 'a', 'b', 'c' and 1 more" in capsys.readouterr().err
    lines = [json.loads(line) for line in (tmp_path / "bad_steps.jsonl").read_text().splitlines()]
    assert [line["keys"] for line in lines] == [["a", "b", "c", "d"]]
    step(1.0, 0.1)
    assert not torch.equal(before, torch.cat([p.detach().flatten() for p in clip.parameters()]))


def test_bad_steps_in_a_row_end_the_run() -> None:
    engine, clip = engine_of("max_bad_steps=3")

    def step(loss: float) -> None:
        engine.state.loss = torch.tensor(loss)
        fill_gradients(clip, 0.1)
        engine.run_event(Event.AFTER_TRAIN_BATCH)

    for loss in (math.nan, math.nan, 1.0, math.nan, math.nan):
        step(loss)
    with pytest.raises(UserError, match=r"not finite in 3 steps in a row \(max_bad_steps\)"):
        step(math.nan)


def test_a_dropped_step_is_in_no_average() -> None:
    engine, clip = engine_of("ema={half_life: 2ba}")
    average = next(a for a in engine.state.algorithms if isinstance(a, AverageWeights))
    for loss, steps in ((1.0, 1), (math.nan, 1), (1.0, 2)):
        engine.state.loss = torch.tensor(loss)
        fill_gradients(clip, 0.1)
        engine.run_event(Event.AFTER_TRAIN_BATCH)
        engine.run_event(Event.BATCH_END)
        assert average.steps == steps


def test_the_average_takes_the_scale_as_it_was_clamped() -> None:
    engine, clip = engine_of("ema={half_life: 2ba}")
    with torch.no_grad():
        clip.logit_scale.fill_(10.0)
    engine.run_event(Event.BATCH_END)
    average = next(a for a in engine.state.algorithms if isinstance(a, AverageWeights))
    assert float(average.weights["clip.logit_scale"]) == pytest.approx(math.log(100))
