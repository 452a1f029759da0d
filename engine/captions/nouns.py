"""Which words of a caption are probably nouns or names."""

from __future__ import annotations

from engine.captions.wordlists import load_words
from engine.captions.words import STOP_WORDS, content_stems, find_words, stem

# Verbs and adjectives that captions use often and seldom as nouns, numbers, and what pictures are called by.
_NO_NOUNS = STOP_WORDS | load_words("no_nouns")
_NO_NOUN_ENDINGS = ("ly", "ful", "ous", "ish", "less", "able", "ible", "ing", "ed")
_NOUNS_ALL_THE_SAME = load_words("ing_nouns")  # "building", "shed"
_LEAST_LETTERS = 2


def find_nouns(text: str) -> set[str]:
    """Stems of the words that are probably nouns or names: not listed as something else, and no digits.

    Endings that are seldom a noun's (`-ly`, `-ous`, `-ing` ...) do not count unless the word has a capital.
    """
    names = _capitals(text)
    return {
        stem(word)
        for word in find_words(text)
        if len(word) >= _LEAST_LETTERS
        and word not in _NO_NOUNS
        and (not word.endswith(_NO_NOUN_ENDINGS) or word in _NOUNS_ALL_THE_SAME or word in names)
        and not word.isdigit()
    }


def find_content(text: str) -> set[str]:
    """Stems of all words but stop words: what excuses a noun, whatever part of speech it was."""
    return content_stems(find_words(text))


def _capitals(text: str) -> set[str]:
    """Words with a capital that no sentence begins with, in lower case."""
    found = set()
    starts = True
    for word in text.split():
        bare = word.strip("\"'()[],;:.!?\u201c\u201d")
        if bare[:1].isupper() and not starts:
            found.add(bare.lower())
        starts = word.endswith((".", "!", "?"))
    return found
