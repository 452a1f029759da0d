"""Weights that move over a run: computed exactly, drawn as computed, the constant ones outside."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import UserError
from loaders.loader import DataConfig, build_loader
from loaders.policy import CaptionPolicy, choose
from loaders.ramp import Ramp, Weights
from loaders.recipe.strict import build
from loaders.recipe.times import RunLength, parse_time
from tests.loaders.corpus import SOURCES, make_samples, write_dataset
from tests.loaders.test_policy import within_binomial, words
from train.model.optim import make_plan

NAMES = ("alttext", "vec", "vecap")
RUN = RunLength(batch=64, steps_per_epoch=10, max_duration="20ep")
WEIGHTS = st.lists(st.sampled_from([0.0, 0.1, 1.0, 3.0]), min_size=3, max_size=3).filter(any)


@given(
    start=WEIGHTS, stop=WEIGHTS, begin=st.integers(0, 50), length=st.integers(0, 50), step=st.integers(0, 120)
)
def test_each_share_moves_in_a_straight_line(
    start: list[float], stop: list[float], begin: int, length: int, step: int
) -> None:
    weights = Weights(tuple(start), tuple(stop), begin, begin + length)
    done = min(Fraction(1), max(Fraction(0), Fraction(step - begin, length))) if length else step >= begin
    for at, (low, high) in enumerate(zip(start, stop, strict=True)):
        wanted = (1 - done) * Fraction(low) / Fraction(sum(start)) + done * Fraction(high) / Fraction(
            sum(stop)
        )
        assert weights.shares(np.array([step]))[0, at] == pytest.approx(float(wanted), abs=1e-12)
    if done in (0, 1):
        assert weights.at(step) == tuple(stop if done else start)


@given(st.integers(0, 99), st.sampled_from(["random", "first"]), st.sampled_from(["renormalise", "vec"]))
def test_at_both_ends_it_is_the_constant_policy(seed: int, within: str, missing: str) -> None:
    low, high = {"alttext": 1, "vec": 2}, {"vec": 1, "vecap": 6}
    ramp = Ramp(high, "3ep", "0.5dur")
    moving = CaptionPolicy(low, within, missing, ramp).bind(NAMES, False, run=RUN)
    counts = np.random.default_rng(seed).integers(0, 3, (200, 3)).astype(np.uint16)
    counts[:, 1] = 1
    for step, weights in ((0, low), (30, low), (100, high), (10_000, high)):
        constant = CaptionPolicy(weights, within, missing).bind(NAMES, False)
        found = choose(moving.at(step), counts, None, words(200, seed))
        for ours, theirs in zip(found, choose(constant, counts, None, words(200, seed)), strict=True):
            assert (ours == theirs).all()


@pytest.mark.parametrize("step", [0, 20, 65, 100, 180, 199])
def test_captions_are_drawn_with_the_shares_of_the_step(step: int) -> None:
    """AltText from all to a fifth, between 10 % and 90 % of the run."""
    policy = CaptionPolicy({"alttext": 1}, ramp=Ramp({"alttext": 1, "vecap": 4}, "0.1dur", "0.9dur"))
    source, _ = choose(
        policy.bind(NAMES, False, run=RUN).at(step),
        np.ones((20_000, 3), np.uint16),
        None,
        words(20_000, step),
    )
    share = 1 - 0.8 * min(1, max(0, (step - 20) / 160))
    assert within_binomial(int((source == 0).sum()), 20_000, share)
    assert not (source == 1).any()


def test_a_loader_follows_the_ramp_of_a_policy(tmp_path: Path) -> None:
    """And so does one that was resumed: the step counts, not the process."""
    folder = write_dataset(tmp_path / "data", make_samples(32))
    policy = CaptionPolicy({"alttext": 1}, ramp=Ramp({"vecap": 1}, "6ba", "10ba"))
    config = DataConfig(str(folder), 8, policy=policy, image_size=8, threads=1)
    loader = build_loader(config)
    drawn, states = [], []
    for _ in range(4):
        for batch in loader:
            drawn.append(batch["caption_source"].tolist())
            states.append(loader.state_dict())
    assert drawn[:7] == [[0] * 8] * 7
    assert drawn[10:] == [[1] * 8] * 6
    assert {source for step in drawn[7:10] for source in step} == {0, 1}
    resumed = build_loader(replace(config, num_workers=1))
    resumed.load_state_dict(states[7] or {})
    assert [batch["caption_source"].tolist() for _ in range(3) for batch in resumed] == drawn[8:]
    with pytest.raises(UserError, match="max_duration: None given"):
        build_loader(replace(config, policy=replace(policy, ramp=Ramp({"vecap": 1}))))
    assert loader.dataset.info.sources == SOURCES


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("7ba", 7),
        ("2ep", 20),
        ("65sp", 2),
        ("64sp", 1),
        ("0.07dur", 14),
        ("1dur", 200),
        ("0sp", 0),
        (".5dur", 100),
    ],
)
def test_times_are_exact(text: str, steps: int) -> None:
    assert RUN.steps(text, "x") == steps


@given(batch=st.integers(1, 1 << 16), steps=st.integers(1, 1 << 20))
def test_training_counts_as_the_loaders_do(batch: int, steps: int) -> None:
    for duration in (f"{batch * steps}sp", f"{steps}ba"):
        assert make_plan(duration, batch, 10).total == RunLength(batch, 10, duration).total == steps


@pytest.mark.parametrize("text", ["", "5", "5.5ba", "dur", "1e400ba", "5tok", "-1ba", "nandur", "1ep "])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(UserError, match=r"^data.ramp.begin: .* is not a time; write 500ba"):
        parse_time(text, "data.ramp.begin")


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        ({"ramp": {"to": {"vecpa": 1}}}, r"^data.policy.ramp.to.vecpa: unknown source.*did you mean vecap"),
        ({"ramp": {"to": {"vecap": 0}}}, r"^data.policy.ramp.to: every weight is 0"),
        ({"ramp": {"to": {"vecap": -1}}}, r"^data.policy.ramp.to.vecap: -1.0 given"),
        ({"ramp": {"to": {"vecap": 1}, "end": "soon"}}, r"^data.policy.ramp.end: 'soon' is not a time"),
        ({"ramp": {"to": {"vecap": 1}, "begin": "9ep", "end": "80ba"}}, r"ramp: ends at 80ba \(step 80\)"),
        ({"ramp": {}}, r"^data.policy.ramp.to: missing"),
        ({"weights": {"vecap": -1}}, r"^data.policy.weights.vecap: -1.0 given"),
    ],
)
def test_refusals_name_the_setting(policy: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        build(CaptionPolicy, policy, "data.policy").bind(NAMES, False, run=RUN)
