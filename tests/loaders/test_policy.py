"""Caption policy: shares, rules, refusals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import UserError
from loaders.policy import CaptionPolicy, MissingCaptionError, choose

SOURCES = ("alttext", "vec", "vecap")


def words(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 1 << 32, (count, 4), np.uint64).astype(np.uint32)


def within_binomial(observed: int, count: int, share: float) -> bool:
    """Five standard deviations: a false alarm once in two million."""
    return abs(observed - count * share) <= 5 * np.sqrt(count * share * (1 - share)) + 1e-9


@given(
    st.lists(st.sampled_from([0.0, 0.5, 1.0, 3.0]), min_size=3, max_size=3).filter(any), st.integers(0, 99)
)
def test_sources_are_drawn_in_proportion_to_their_weights(weights: list[float], seed: int) -> None:
    policy = CaptionPolicy(dict(zip(SOURCES, weights, strict=True))).bind(SOURCES, False)
    source, _ = choose(policy, np.ones((4000, 3), np.uint16), None, words(4000, seed))
    for number, weight in enumerate(weights):
        assert within_binomial(int((source == number).sum()), 4000, weight / sum(weights))


def test_uniform_is_the_papers_and_captions_within_are_uniform_too() -> None:
    policy = CaptionPolicy().bind(SOURCES, False)
    source, caption = choose(policy, np.tile(np.uint16([4, 1, 1]), (9000, 1)), None, words(9000))
    for number in range(3):
        assert within_binomial(int((source == number).sum()), 9000, 1 / 3)
    for number in range(4):
        assert within_binomial(int(((source == 0) & (caption == number)).sum()), 9000, 1 / 12)


@given(st.integers(0, (1 << 32) - 1), st.integers(1, 9))
def test_equal_weights_are_the_integer_draw(word: int, sources: int) -> None:
    names = [f"s{i}" for i in range(sources)]
    draws = np.array([[word, word, 0, 0]], np.uint32)
    source, caption = choose(
        CaptionPolicy().bind(names, False), np.full((1, sources), 7, np.uint16), None, draws
    )
    assert source[0] == (word * sources) >> 32
    assert caption[0] == (word * 7) >> 32


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(1, 3)), min_size=1, max_size=20))
def test_a_drawn_caption_always_exists(rows: list[tuple[int, int, int]]) -> None:
    counts = np.array(rows, np.uint16)
    source, caption = choose(CaptionPolicy().bind(SOURCES, False), counts, None, words(len(rows)))
    assert (caption < counts[np.arange(len(rows)), source]).all()


def test_renormalising_shares_a_missing_sources_weight() -> None:
    policy = CaptionPolicy({"alttext": 1, "vec": 2, "vecap": 1}).bind(SOURCES, False)
    source, _ = choose(policy, np.tile(np.uint16([1, 0, 1]), (4000, 1)), None, words(4000))
    assert within_binomial(int((source == 0).sum()), 4000, 0.5)
    assert not (source == 1).any()


def test_a_fallback_takes_all_of_a_missing_sources_weight() -> None:
    policy = CaptionPolicy({"alttext": 1, "vec": 2, "vecap": 1}, missing="alttext").bind(SOURCES, False)
    source, _ = choose(policy, np.tile(np.uint16([1, 0, 1]), (4000, 1)), None, words(4000))
    assert within_binomial(int((source == 0).sum()), 4000, 0.75)


def test_a_fallback_may_have_no_weight_of_its_own() -> None:
    policy = CaptionPolicy({"vecap": 1}, missing="alttext").bind(SOURCES, False)
    counts = np.array([[2, 0, 1], [2, 0, 0]], np.uint16)
    assert choose(policy, counts, None, words(2))[0].tolist() == [2, 0]


@pytest.mark.parametrize("missing", ["renormalise", "error", "vec"])
def test_a_sample_without_a_caption_is_named(missing: str) -> None:
    policy = CaptionPolicy({"vecap": 1}, missing=missing).bind(SOURCES, False)
    with pytest.raises(MissingCaptionError, match="vecap") as caught:
        choose(policy, np.array([[1, 0, 1], [1, 0, 0]], np.uint16), None, words(2))
    assert caught.value.row == 1


def test_error_looks_at_every_weighted_source_whatever_is_drawn() -> None:
    policy = CaptionPolicy({"alttext": 1e-9, "vecap": 1}, missing="error").bind(SOURCES, False)
    with pytest.raises(MissingCaptionError):
        choose(policy, np.array([[0, 0, 1]], np.uint16), None, words(1))


def test_highest_score_takes_the_first_of_equals_and_unknown_ones_last() -> None:
    policy = CaptionPolicy({"vec": 1}, within="hcs").bind(SOURCES, True)
    nan = np.nan
    scores = np.array(
        [[9, 1, 3, 3, 9], [9, nan, -2, nan, 9], [9, nan, nan, nan, 9], [9, -np.inf, nan, -np.inf, 9]],
        np.float32,
    )
    counts = np.tile(np.uint16([1, 3, 1]), (4, 1))
    assert choose(policy, counts, scores, words(4))[1].tolist() == [1, 1, 0, 0]


def test_first_takes_the_first() -> None:
    policy = CaptionPolicy(within="first").bind(SOURCES, False)
    assert not choose(policy, np.full((50, 3), 4, np.uint16), None, words(50))[1].any()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"weights": {"vecpa": 1}},
            "data.policy.weights.vecpa: unknown source.*alttext, vec, vecap.*did you mean vecap",
        ),
        ({"missing": "altext"}, "data.policy.missing.*did you mean alttext"),
        ({"within": "hcs"}, "CLIP scores"),
        ({"within": "best"}, "random, first, hcs"),
        ({"weights": "unifrom"}, "uniform"),
        ({"weights": {"vec": -1}}, "weights.vec: -1"),
        ({"weights": {"vec": float("nan")}}, "weights.vec: nan"),
        ({"weights": {"vec": "much"}}, "weights.vec: 'much'"),
        ({"weights": {"vec": 0}}, "every weight is 0"),
        ({"weights": {}}, "every weight is 0"),
    ],
)
def test_refusals_say_what_is_wrong(arguments: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        CaptionPolicy(**arguments).bind(SOURCES, False)
