"""The rules of a selection as a command line gives them: `0.2`, or `alttext=0.2` for one caption source."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TypeVar

from engine.captions.selection import ALL
from engine.errors import UserError

T = TypeVar("T", int, float)


def parse_rules(texts: Sequence[str], option: str, parse: Callable[[str], T]) -> dict[str, T]:
    """Values by caption source; `ALL` where none is named.

    Raises:
        UserError: not such a value, or a source is named twice.
    """
    rules: dict[str, T] = {}
    for text in texts:
        name, _, value = text.rpartition("=")
        try:
            parsed = parse(value)
        except ValueError as error:
            raise UserError(f"{option} {text}: expected {error}, or NAME= and that") from None
        if name in rules:
            raise UserError(f"{option} {text}: given twice for {name or 'all sources'}")
        rules[name or ALL] = parsed
    return rules


def score(text: str) -> float:
    """A finite number.

    Raises:
        ValueError: anything else; says what was expected.
    """
    return _number(text, "a score such as 0.2", lambda value: math.isfinite(value))


def whole(text: str) -> int:
    """A number of captions.

    Raises:
        ValueError: anything else; says what was expected.
    """
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise ValueError("a number of captions above 0")
    return int(text)


def share(text: str) -> float:
    """`30%` or `0.3`.

    Raises:
        ValueError: anything else; says what was expected.
    """
    scale = 100 if text.endswith("%") else 1
    return _number(text.removesuffix("%"), "a share such as 30% or 0.3", lambda v: 0 < v / scale <= 1) / scale


def _number(text: str, expected: str, fits: Callable[[float], bool]) -> float:
    try:
        value = float(text)
    except ValueError:
        raise ValueError(expected) from None
    if not fits(value):
        raise ValueError(expected)
    return value
