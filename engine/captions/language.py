"""Whether a caption is in English, without a model: the script of its letters, and its function words."""

from __future__ import annotations

import re
from collections.abc import Sequence

from engine.captions.wordlists import load_words

_LATIN = re.compile(r"[A-Za-z\u00aa\u00ba\u00c0-\u024f\u1e00-\u1eff]")
_LETTER = re.compile(r"[^\W\d_]")
_LEAST_LATIN = 0.5  # share of letters; a foreign name in an English sentence stays below half
_LEAST_WORDS = 4

# Function words of ten languages that are no English words. Names hold some ("de", "la", "van").
_FOREIGN = load_words("foreign_words")
_ENGLISH = load_words("english_words")


def is_foreign(text: str, words: Sequence[str]) -> bool:
    """Whether `text` is written in another script than Latin, or in another language than English.

    Another language needs two different function words of it, and more of them than English ones: titles
    and names ("Santiago de Compostela") are left in peace. Short captions without function words pass.
    """
    if not text.isascii():
        letters = len(_LETTER.findall(text))
        if len(_LATIN.findall(text)) < _LEAST_LATIN * letters:
            return True
    if len(words) < _LEAST_WORDS:
        return False
    foreign = [word for word in words if word in _FOREIGN]
    return len(set(foreign)) >= 2 and len(foreign) > sum(word in _ENGLISH for word in words)
