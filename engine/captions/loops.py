"""Loops: a model that repeats itself until its limit."""

from __future__ import annotations

import re
from collections.abc import Sequence
from operator import eq

# Ten times the same letter, or a short piece: no word of any language.
_SAME_CHARACTER = re.compile(r"([^\W\d_])\1{9}")
_LONGEST_PERIOD = 12  # words of a phrase that comes again and again
_LEAST_WORDS = 24  # shorter captions repeat n-grams by nature ("a man in a hat and a man in a coat")
_LEAST_DISTINCT = 0.6  # share of distinct 3-grams; COCO and CC captions stay above 0.8
_SPACELESS = re.compile(r"(.{2,20}?)\1{4}")


def has_loop(text: str, words: Sequence[str]) -> bool:
    """Whether `text` repeats a letter, a word four times, a phrase three times, or its 3-grams at large."""
    if any(len(word) >= 10 and _SAME_CHARACTER.search(word) is not None for word in words):
        return True
    if len(words) - len(set(words)) < 3:
        # Scripts without spaces: one word is a sentence, and its loop is inside it.
        return len(text) > 20 * max(len(words), 1) and _SPACELESS.search(text) is not None
    return _has_period(words) or distinct_share(words, 3) < _LEAST_DISTINCT


def distinct_share(words: Sequence[str], n: int) -> float:
    """Distinct n-grams divided by all; 1.0 for texts of fewer than 24 words."""
    if len(words) < _LEAST_WORDS:
        return 1.0
    grams = list(zip(*(words[i:] for i in range(n)), strict=False))
    return len(set(grams)) / len(grams)


def _has_period(words: Sequence[str]) -> bool:
    for period in range(1, min(_LONGEST_PERIOD, len(words) // 3) + 1):
        needed = 3 if period == 1 else 2 * period
        if sum(map(eq, words, words[period:])) < needed:
            continue
        run = 0
        for word, later in zip(words, words[period:], strict=False):
            run = run + 1 if word == later else 0
            if run >= needed:
                return True
    return False
