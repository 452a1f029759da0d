"""How rules of selection are read, and how scores are summed up."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from engine.captions.histogram import bin_of, quantile, spread
from engine.captions.rules import parse_rules, score, share, whole
from engine.captions.selection import ALL
from engine.errors import UserError


@pytest.mark.parametrize(
    ("texts", "parse", "wanted"),
    [
        (["0.2", "alttext=-0.1"], score, {ALL: 0.2, "alttext": -0.1}),
        (["rewrite/a=2"], whole, {"rewrite/a": 2}),
        (["alttext=30%", "0.5"], share, {"alttext": 0.3, ALL: 0.5}),
    ],
)
def test_rules_are_read(texts: list[str], parse: Any, wanted: dict[str, float]) -> None:
    assert parse_rules(texts, "--x", parse) == wanted


@pytest.mark.parametrize(
    ("text", "parse"),
    [
        ("nan", score),
        ("inf", score),
        ("x=", score),
        ("0", whole),
        ("1.5", whole),
        ("0%", share),
        ("101%", share),
    ],
)
def test_rules_that_mean_nothing_are_refused(text: str, parse: Any) -> None:
    with pytest.raises(UserError, match=f"--x {text}: expected a "):
        parse_rules([text], "--x", parse)


def test_a_rule_given_twice_is_refused() -> None:
    with pytest.raises(UserError, match="given twice for all sources"):
        parse_rules(["0.2", "0.3"], "--x", score)


def test_histograms() -> None:
    values = np.float32([n / 100 for n in range(-100, 101)])
    assert [bin_of(float(value)) for value in values] == [f"{n / 100:.2f}" for n in range(-100, 101)]
    bins = {"0.10": 1, "0.20": 8, "0.30": 1}
    assert [quantile(bins, q) for q in (0.05, 0.5, 1.0)] == [0.1, 0.2, 0.3]
    assert spread(bins).startswith("0.10 ")
    assert "median 0.20" in spread(bins)
    assert spread({}) == "none"
