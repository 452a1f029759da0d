"""Making the inputs of a prompt fit a model: VeC stays whole, AltText is cut."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

_SENTENCE_END = re.compile(r"[.!?\u3002\uff01\uff1f][\"')\u201d]?(?=\s|$)")
_WORD_END = re.compile(r"\S(?=\s|$)")
# A sentence border is taken where it keeps at least this share of the words that fit.
_LEAST_KEPT = 0.5
# No tokenizer in use has tokens of more than some 30 characters of text; more is not even counted.
_CHARACTERS_A_TOKEN = 64


@dataclass(frozen=True)
class FittedInputs:
    """`alttext` may be shorter than it was (`cut`) or None; `fits` is False where VeC alone is too long."""

    alttext: str | None
    vec: str
    cut: bool
    fits: bool


def fit(alttext: str | None, vec: str, limit: int, count_tokens: Callable[[str], int]) -> FittedInputs:
    """Cuts AltText so that both texts have at most `limit` tokens together (VeCLIP, section 3.3).

    The cut is at the last sentence border if that keeps half of what fits, otherwise at the last word
    border; text without spaces is cut at a character. `count_tokens` is called some 20 times at most.
    """
    room = limit - count_tokens(vec)
    if room < 0:
        return FittedInputs(None, vec, bool(alttext), False)
    if not alttext:
        return FittedInputs(None, vec, False, True)
    head = alttext[: (room + 1) * _CHARACTERS_A_TOKEN]
    if len(head) == len(alttext) and count_tokens(alttext) <= room:
        return FittedInputs(alttext, vec, False, True)
    words = [match.end() for match in _WORD_END.finditer(head)]
    kept = _longest(head, words, room, count_tokens)
    sentences = [match.end() for match in _SENTENCE_END.finditer(head[:kept])]
    if sentences and sentences[-1] >= kept * _LEAST_KEPT:
        kept = sentences[-1]
    elif not kept:
        kept = _longest(head, list(range(1, len(head) + 1)), room, count_tokens)
    return FittedInputs(head[:kept].strip() or None, vec, True, True)


def _longest(text: str, ends: list[int], room: int, count_tokens: Callable[[str], int]) -> int:
    """The last of `ends` at which `text` still fits; 0 if none does."""
    low, high = 0, len(ends)
    while low < high:
        middle = (low + high + 1) // 2
        if count_tokens(text[: ends[middle - 1]]) <= room:
            low = middle
        else:
            high = middle - 1
    return ends[low - 1] if low else 0
