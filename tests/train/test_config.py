"""Strict configuration: what is wrong is named with its path, and nothing is taken silently."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest
import yaml

from engine.errors import UserError
from loaders.recipe.sources import apply_overrides, read_yaml
from loaders.recipe.strict import build, to_plain


@dataclass(frozen=True)
class Inner:
    rate: float = 0.5
    sides: tuple[float, float] = (0.0, 1.0)
    weights: Mapping[str, float] | str = "uniform"


@dataclass(frozen=True)
class Outer:
    steps: int
    kind: Literal["a", "b"] = "a"
    inner: Inner = field(default_factory=Inner)
    maybe: Inner | None = None
    names: tuple[str, ...] = ()
    on: bool = False


def test_builds_nested_values() -> None:
    values = {
        "steps": 3,
        "inner": {"rate": "1e-3", "sides": [1, 2]},
        "maybe": {"weights": {"x": 1}},
        "names": ["n"],
    }
    built = build(Outer, values)
    assert built == Outer(3, inner=Inner(0.001, (1.0, 2.0)), maybe=Inner(weights={"x": 1.0}), names=("n",))
    assert build(Outer, to_plain(built)) == built


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"steps": 1, "iner": {}}, "iner: unknown key (did you mean inner?)"),
        ({"steps": 1, "inner": {"rat": 1}}, "inner.rat: unknown key (did you mean rate?)"),
        ({"steps": 1, "maybe": {"zzz": 1}}, "maybe.zzz: unknown key; known here: rate, sides, weights"),
        ({}, "steps: missing; expected a whole number"),
        ({"steps": 1.0}, "steps: expected a whole number, got float 1.0"),
        ({"steps": True}, "steps: expected a whole number, got bool True"),
        ({"steps": "1"}, "steps: expected a whole number, got str '1'"),
        ({"steps": 1, "inner": {"rate": "fast"}}, "inner.rate: expected a number, got str 'fast'"),
        ({"steps": 1, "inner": {"rate": True}}, "inner.rate: expected a number, got bool True"),
        ({"steps": 1, "inner": {"sides": [1]}}, "inner.sides: expected a list of 2 values, got list [1]"),
        ({"steps": 1, "inner": 3}, "inner: expected a mapping, got int 3"),
        ({"steps": 1, "kind": "c"}, "kind: expected one of a, b, got str 'c'"),
        ({"steps": 1, "on": 1}, "on: expected true or false, got int 1"),
        ({"steps": 1, "names": [2]}, "names[0]: expected a string, got int 2"),
        (
            {"steps": 1, "inner": {"weights": {"x": "much"}}},
            "inner.weights: expected a mapping of names to a number or a string, got dict {'x': 'much'}",
        ),
    ],
)
def test_says_what_is_wrong_and_where(values: dict[str, object], message: str) -> None:
    with pytest.raises(UserError) as caught:
        build(Outer, values)
    assert str(caught.value) == message


def test_overrides_merge_and_replace() -> None:
    base = {"a": {"b": 1, "c": 2}, "d": "uniform"}
    changed = apply_overrides(base, ["a.b=5", "d.first=1", "e.f=[1, 2]", "g=null"])
    assert changed == {"a": {"b": 5, "c": 2}, "d": {"first": 1}, "e": {"f": [1, 2]}, "g": None}
    assert base == {"a": {"b": 1, "c": 2}, "d": "uniform"}
    assert apply_overrides(base, ["a={c: 9}"])["a"] == {"c": 9}


@pytest.mark.parametrize("word", ["novalue", "=3", "a..b=1", "a=[1"])
def test_malformed_overrides(word: str) -> None:
    with pytest.raises(UserError, match=r"expected key=value|not a YAML value"):
        apply_overrides({}, [word])


@pytest.mark.parametrize("text", ["- 1\n", "a: [\n", "a: 1\na: 2\n"])
def test_files_that_are_no_recipes(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=r"x\.yaml"):
        read_yaml(path)
    with pytest.raises(UserError, match="no such configuration file"):
        read_yaml(tmp_path / "absent.yaml")


def test_yaml_1_1_numbers_are_read_as_people_mean_them() -> None:
    assert yaml.safe_load("1e-3") == "1e-3"  # why strict.py takes such strings for numbers
    assert build(Inner, {"rate": "1e-3"}).rate == 0.001
