"""Whether a caption is in English, without a model: the script of its letters, and its function words."""

from __future__ import annotations

import re
from collections.abc import Sequence

from engine.captions.wordlists import load_word_groups, load_words

_LATIN = re.compile(r"[A-Za-z\u00aa\u00ba\u00c0-\u024f\u1e00-\u1eff]")
_LETTER = re.compile(r"[^\W\d_]")
_LEAST_LATIN = 0.5  # share of letters; a foreign name in an English sentence stays below half
_LEAST_WORDS = 4

# Function words of ten languages; what is common in English too is left out. Names hold some ("de", "la").
_FOREIGN = load_word_groups("foreign_words")
_ANY_FOREIGN = frozenset().union(*_FOREIGN.values())
_ENGLISH = load_words("english_words")


def is_foreign(text: str, words: Sequence[str]) -> bool:
    """Whether `text` is written in another script than Latin, or in another language than English.

    Another language needs two different function words of one, and more of them than English ones: titles
    and names ("Santiago de Compostela") are left in peace. Short captions without function words pass.
    """
    if not text.isascii():
        letters = len(_LETTER.findall(text))
        if len(_LATIN.findall(text)) < _LEAST_LATIN * letters:
            return True
    if len(words) < _LEAST_WORDS:
        return False
    if len(_ANY_FOREIGN.intersection(words)) < 2:
        return False
    english = sum(word in _ENGLISH for word in words)
    return any(_speaks(words, language, english) for language in _FOREIGN.values())


def _speaks(words: Sequence[str], language: frozenset[str], english: int) -> bool:
    return len(language.intersection(words)) >= 2 and sum(word in language for word in words) > english
