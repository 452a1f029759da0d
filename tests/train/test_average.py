"""Averaged weights are the closed form over the steps that were taken."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from composer.core import Event

from tests.train.kit import small_model
from train.keeping.checkpoints import weights_in
from train.model.average import AverageWeights

HALF_LIFE, STEPS = 3, 12


def average_of(model: torch.nn.Module) -> tuple[AverageWeights, Any]:
    guard = SimpleNamespace(bad_in_a_row=0)
    return AverageWeights(model, HALF_LIFE, guard), guard  # type: ignore[arg-type]


def end_step(average: AverageWeights) -> None:
    if average.match(Event.BATCH_END, None):  # type: ignore[arg-type]
        average.apply(Event.BATCH_END, None, None)  # type: ignore[arg-type]


def walk(model: torch.nn.Module, step: int) -> dict[str, torch.Tensor]:
    """Weights go somewhere."""
    draws = torch.Generator().manual_seed(step)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=draws))
    return {name: p.detach().clone() for name, p in model.named_parameters()}


def test_the_closed_form_over_a_trajectory() -> None:
    """Dropped steps do not count; the random start is in no average."""
    model = small_model()
    average, guard = average_of(model)
    taken: list[dict[str, torch.Tensor]] = []
    for number in range(STEPS):
        guard.bad_in_a_row = int(number in (2, 7))
        weights = walk(model, number)
        end_step(average)
        if not guard.bad_in_a_row:
            taken.append(weights)
        shares = torch.tensor(
            [2.0 ** (-i / HALF_LIFE) for i in reversed(range(len(taken)))], dtype=torch.float64
        )
        for name, value in average.weights.items():
            path = torch.stack([weights[name].double() for weights in taken])
            wanted = torch.tensordot(shares / shares.sum(), path, 1)
            torch.testing.assert_close(value.double(), wanted, rtol=1e-5, atol=1e-5)
    assert average.steps == STEPS - 2


def test_in_use_and_back_bit_for_bit() -> None:
    model = small_model()
    average, _ = average_of(model)
    for number in range(3):
        own = walk(model, number)
        end_step(average)
    with average.in_use():
        for name, parameter in model.named_parameters():
            assert torch.equal(parameter, average.weights[name])
            assert not torch.equal(parameter, own[name])
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, own[name])


def test_before_the_first_step_the_model_is_as_it_is() -> None:
    model = small_model()
    average, _ = average_of(model)
    before = [p.detach().clone() for p in model.parameters()]
    with average.in_use():
        assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


def through_a_file(state: dict[str, Any]) -> dict[str, Any]:
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return dict(torch.load(file, weights_only=True))


@pytest.mark.parametrize("at", [0, 1, 5])
def test_resumed_it_goes_on_bit_for_bit(at: int) -> None:
    models = [small_model(), small_model()]
    (first, _), (second, _) = (average_of(model) for model in models)
    for number in range(9):
        for model in models:
            walk(model, number)
        end_step(first)
        if number == at:
            second.load_state_dict(through_a_file(first.state_dict()))
        elif number > at:
            end_step(second)
    for name, value in first.weights.items():
        assert torch.equal(value, second.weights[name]), name


def test_locked_parameters_are_not_averaged() -> None:
    model = small_model()
    model.clip.visual.requires_grad_(False)
    average, _ = average_of(model)
    end_step(average)
    assert not any(name.startswith("clip.visual.") for name in average.weights)


def test_a_checkpoint_gives_either() -> None:
    model = small_model()
    average, _ = average_of(model)
    for number in range(3):
        walk(model, number)
        end_step(average)
    data = {"state": {"model": model.state_dict(), "algorithms": [("AverageWeights", average.state_dict())]}}
    averaged, trained = (weights_in(data, Path("x"), choice) for choice in (True, False))
    assert averaged.keys() == trained.keys() == model.state_dict().keys()
    for name, value in average.weights.items():
        assert torch.equal(averaged[name], value)
        assert torch.equal(trained[name], model.state_dict()[name])
