"""Parameter groups against open_clip's rule, and the schedule step by step."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from composer.core import Time

from engine.errors import UserError
from tests.train.test_model import _clip
from train.model.optim import (
    OptimizerConfig,
    Schedule,
    ScheduleConfig,
    build_optimizer,
    build_schedule,
    make_plan,
    warmup_cosine,
)
from train.model.sharded import stays_whole


def test_no_decay_for_norms_biases_and_the_logit_scale() -> None:
    model = _clip("argmax")
    names = {id(p): n for n, p in model.named_parameters()}
    found: dict[float, set[str]] = {0.0: set(), 0.2: set()}
    for group in build_optimizer(model, OptimizerConfig(weight_decay=0.2)).param_groups:
        assert len({stays_whole(names[id(p)]) for p in group["params"]}) == 1
        found[group["weight_decay"]] |= {names[id(p)] for p in group["params"]}
    assert found[0.2] == {n for n, p in model.named_parameters() if p.ndim >= 2}
    exempt = found[0.0]
    assert "logit_scale" in exempt
    assert "visual.ln_pre.weight" in exempt
    assert "transformer.resblocks.0.attn.in_proj_bias" in exempt
    assert len(exempt) + len(found[0.2]) == len(names)


@pytest.mark.parametrize("warmup", ["4ba", "128sp", "1ep", "0.4dur"])
def test_warmup_then_cosine_per_step(warmup: str) -> None:
    plan = make_plan("10ba", global_batch=32, steps_per_epoch=4)
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=2.0)
    schedule = build_schedule(optimizer, ScheduleConfig(warmup, final_fraction=0.1), plan)
    seen = []
    for _ in range(plan.total):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    cosine = [0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * t / 6)) for t in range(6)]
    assert seen == pytest.approx([0.5, 1.0, 1.5, 2.0, *(2 * c for c in cosine)])


def test_durations_become_steps() -> None:
    plan = make_plan("1000sp", global_batch=64, steps_per_epoch=10)
    assert plan.total == 16
    assert plan.steps(Time.from_timestring("3ep")) == 30
    for bad in ("ten", "0ba", "5tok"):
        with pytest.raises(UserError):
            make_plan(bad, 64, 10)
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))])
    with pytest.raises(UserError, match="more than the whole run"):
        build_schedule(optimizer, ScheduleConfig("17ba"), plan)


def trajectory(name: str, steps: int) -> list[torch.Tensor]:
    """Weights after each step of a float64 model under the run's own schedule."""
    torch.manual_seed(0)
    model = torch.nn.Linear(5, 3, dtype=torch.float64)
    plan = make_plan(f"{steps}ba", 32, 10)
    optimizer = build_optimizer(model, OptimizerConfig(name=name, lr=3e-2, weight_decay=0.3))  # type: ignore[arg-type]
    schedule = build_schedule(optimizer, ScheduleConfig("5ba", final_fraction=0.1), plan)
    weights = []
    for _ in range(steps):
        model.zero_grad()
        (model(torch.randn(4, 5, dtype=torch.float64)) ** 2).sum().backward()
        optimizer.step()
        schedule.step()
        weights.append(torch.cat([p.detach().flatten() for p in model.parameters()]))
    return weights


def test_weight_decay_means_the_same_in_both_optimizers() -> None:
    ours, composers = trajectory("adamw", 40), trajectory("decoupled_adamw", 40)
    assert max(float((a - b).abs().max()) for a, b in zip(ours, composers, strict=True)) < 1e-13
    assert float((ours[-1] - ours[0]).abs().max()) > 0.1


def test_torchs_takes_one_fused_step() -> None:
    """Composer's has no fused kernel."""
    model = _clip("argmax")
    assert all(group["fused"] for group in build_optimizer(model, OptimizerConfig()).param_groups)


@pytest.mark.parametrize("name", ["adamw", "decoupled_adamw"])
def test_a_resumed_run_follows_its_recipe(name: str) -> None:
    """At the step where it was left, also with another learning rate and other betas."""
    plan = make_plan("10ba", 32, 10)

    def at(lr: float, beta: float) -> tuple[torch.optim.Optimizer, Schedule]:
        model = torch.nn.Linear(5, 3)
        config = OptimizerConfig(name=name, lr=lr, betas=(beta, 0.99))  # type: ignore[arg-type]
        optimizer = build_optimizer(model, config)
        return optimizer, build_schedule(optimizer, ScheduleConfig("2ba"), plan)

    optimizer, schedule = at(1e-2, 0.9)
    for _ in range(6):
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                parameter.grad = torch.ones_like(parameter)
        optimizer.step()
        schedule.step()
    for lr, beta in ((1e-2, 0.9), (1e-3, 0.8)):
        other, resumed = at(lr, beta)
        other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
        resumed.load_state_dict(schedule.state_dict())
        for group, old in zip(other.param_groups, optimizer.param_groups, strict=True):
            assert group["lr"] == pytest.approx(old["lr"] * lr / 1e-2, rel=1e-12)
            assert group["betas"] == (beta, 0.99)
        other.step()
        resumed.step()
        wanted = lr * warmup_cosine(7, 2, plan.total, 0.0)
        assert resumed.get_last_lr() == pytest.approx([wanted] * len(other.param_groups), rel=1e-12)
        assert len(other.state) == len(optimizer.state) == 2
