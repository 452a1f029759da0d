"""Words of a caption: lower case, stop words, stems."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

from engine.captions.wordlists import load_words

# Letters and digits of any script, with apostrophes and hyphens inside.
_WORD = re.compile(r"[^\W_]+(?:['\u2019-][^\W_]+)*")
_LETTER = re.compile(r"[^\W\d_]")

STOP_WORDS = load_words("stop_words")


def find_words(text: str) -> list[str]:
    """The words of `text` in lower case, in order."""
    return _WORD.findall(text.lower())


def has_letters(text: str) -> bool:
    """Whether there is a letter of any script."""
    return _LETTER.search(text) is not None


@lru_cache(maxsize=1 << 16)
def stem(word: str) -> str:
    """A crude stem without plural and possessive endings, `-ing` and `-ed` (`boats`, `boat's` -> `boat`).

    It joins what should be counted as one; that stems are words is not its aim.
    """
    word = word.replace("\u2019", "'").removesuffix("'s").removesuffix("'")
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    if len(word) > 4 and word.endswith(("ches", "shes", "sses", "xes")):
        return word[:-2]
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    for ending in ("ing", "ed"):
        if len(word) > len(ending) + 3 and word.endswith(ending):
            base = word.removesuffix(ending)
            return base[:-1] if base[-1] == base[-2] and base[-1] not in "ls" else base
    return word


def content_stems(words: Iterable[str]) -> set[str]:
    """Stems of the words that are no stop words."""
    return {stem(word) for word in words if word not in STOP_WORDS}
