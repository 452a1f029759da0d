"""AltTexts that speak to the model: orders, a chat's structure, an answer begun for it, text that is hidden.

The quoting mark and `neutralise` stop what pretends to be part of the prompt. A model that obeys whatever it
reads needs more: such a text describes no image, so it is left out. The patterns in `data/` know what orders
are made of (verb, object, restriction), not whole sentences; `docs/results/recaption-redteam.md` says what
they catch and what they take wrongly.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path

from engine.prompts.text import remove_invisible

_DATA = Path(__file__).parent / "data"
_MOST_CHARACTERS = 20_000  # as much as a prompt will ever hold
# Hidden alphabets, turned direction, and words in pieces; one zero-width character is common on the web.
_HIDING = re.compile("[\U000e0000-\U000e0fff\u202d\u202e]|(?:[\u200b-\u200f\u2060-\u2064\ufeff]\\S{0,8}){4}")
_PARTS = {
    "{answer}": r"(?:answer|output|reply|response|sentence|caption|rewrite|rewriting|completion)s?",
    "{gap}": r"(?:[\w'-]+\s){0,3}?",
    "{ought}": r"(?:must|should|shall|has to|have to|needs? to|is to|are to|may only)",
}
# An example's parts, twice or waiting to be filled in: the model is to go on.
_NAME = r"(?:input|output|question|answer|q|a|caption|sentence(?: \d)?|rewrite|rephrased|text|before|after)"
_EXAMPLE = re.compile(rf"\b{_NAME}\s{{0,2}}(?::|=>|->)(?=\s|$)|=>")
_WORD = re.compile(r"[^\W_]+")
_MARKUP = "<[{=#:\\"
_LETTERS = 3  # no beginning in order_words.txt that is written in ASCII is shorter
_TO_BE_FILLED_IN = re.compile(rf"\b{_NAME}\s?(?::|=>?)$")


def gives_orders(text: str) -> bool:
    """Whether an AltText speaks to a model instead of describing an image."""
    text = text[:_MOST_CHARACTERS]
    if not text.isascii() and _HIDING.search(text) is not None:
        return True
    plain = " ".join(unicodedata.normalize("NFKC", remove_invisible(html.unescape(text))).lower().split())
    words = _WORD.findall(plain)
    if _may_order(plain, words) and _orders(plain):
        return True
    return _may_be_foreign(plain, words) and _FOREIGN.search(plain) is not None


def _orders(plain: str) -> bool:
    return (
        _ORDERS.search(plain) is not None
        or len(_EXAMPLE.findall(plain)) > 1
        or _TO_BE_FILLED_IN.search(plain) is not None
    )


def _may_order(plain: str, words: Sequence[str]) -> bool:
    """A quick look: the patterns cost a hundred times as much."""
    return not _HINTS.isdisjoint(words) or any(sign in plain for sign in _MARKUP)


def _may_be_foreign(plain: str, words: Sequence[str]) -> bool:
    return not plain.isascii() or not _BEGINNINGS.isdisjoint(word[:_LETTERS] for word in words)


def _read(name: str) -> list[str]:
    lines = (_DATA / name).read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("# ")]


def _patterns() -> re.Pattern[str]:
    text = "|".join(f"(?:{line})" for line in _read("order_patterns.txt"))
    for name, part in _PARTS.items():
        text = text.replace(name, part)
    return re.compile(text)


def _foreign() -> re.Pattern[str]:
    """Leave ... what you were told, or answer ... only this, in any language of the file and in any order."""
    orders = []
    for line in _read("order_words.txt"):
        leave, told, answer, only = (_any_of(words.split()) for words in line.split(" | "))
        orders += [rf"{leave}.{{0,60}}?{told}", rf"{told}.{{0,30}}?{leave}"]
        orders += [rf"{answer}.{{0,30}}?{only}", rf"{only}.{{0,30}}?{answer}"]
    return re.compile("|".join(orders))


def _any_of(beginnings: list[str]) -> str:
    words = "|".join(map(re.escape, beginnings))
    # Chinese, Japanese and Thai have no borders of words; Semitic words have beginnings of their own.
    return f"(?:{words})" if beginnings[0] > "\u0590" else rf"\b(?:{words})"


_ORDERS = _patterns()
_FOREIGN = _foreign()
_HINTS = frozenset(word for line in _read("order_hints.txt") for word in line.split())
_BEGINNINGS = frozenset(
    word[:_LETTERS]
    for line in _read("order_words.txt")
    for group in line.split(" | ")[::2]
    for word in group.split()
)
