"""How far a caption keeps to what it was made from: nouns and names, without a model.

A noun is guessed: a word that is no stop word, no common verb, adjective or adverb, and does not look like
one. `docs/results/caption-checks.md` says how good the guess is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from engine.captions.nouns import find_content, find_nouns
from engine.captions.words import find_words

GRAMS = (1, 2, 3)
"""Lengths of the n-grams that are counted."""


@dataclass(frozen=True)
class Grounding:
    """One caption against its inputs; counts of distinct nouns by stem.

    `kept_*` of `all_*` nouns of AltText and of VeC stand in the caption too; `new` of its `nouns` stand in
    neither input. `words` is its length.
    """

    kept_alttext: int
    all_alttext: int
    kept_vec: int
    all_vec: int
    nouns: int
    new: tuple[str, ...]
    words: int


def ground(caption: str, alttext: str | None, vec: str | None) -> Grounding:
    """Compares one caption with its inputs."""
    nouns = find_nouns(caption)
    of_alttext, of_vec = find_nouns(alttext or ""), find_nouns(vec or "")
    # Any word of the inputs excuses a noun: "red" may come back as a noun where it was none before.
    known = find_content(f"{alttext or ''} {vec or ''}")
    return Grounding(
        len(nouns & of_alttext), len(of_alttext), len(nouns & of_vec), len(of_vec),
        len(nouns), tuple(sorted(nouns - known)), len(find_words(caption)),
    )  # fmt: skip


def grounding_sums(caption: str, alttext: str, vec: str) -> dict[str, int]:
    """What one caption adds to the sums over a set: all of `Grounding`, and the lengths before and after."""
    found = ground(caption, alttext, vec)
    return {
        "captions": 1,
        "words": found.words,
        "alttext_words": len(find_words(alttext)),
        "vec_words": len(find_words(vec)),
        "nouns": found.nouns,
        "new_nouns": len(found.new),
        "captions_with_new_nouns": int(bool(found.new)),
        "alttext_nouns": found.all_alttext,
        "alttext_nouns_kept": found.kept_alttext,
        "vec_nouns": found.all_vec,
        "vec_nouns_kept": found.kept_vec,
    }


class Variety:
    """Distinct n-grams of the inputs and of the captions made from them, over the same samples.

    Distinct n-grams fall as a set grows, so sets of different size cannot be compared by them. They are
    counted over the first `SAMPLES` of each unit and summed over units: memory stays bounded, units can be
    counted in any order, and runs with units of that size or more can be compared.
    """

    SAMPLES = 1000
    NAMES = ("alttext", "vec", "caption")

    def __init__(self) -> None:
        """Nothing was counted."""
        self._distinct: dict[tuple[str, int], set[int]] = {
            (name, n): set() for name in self.NAMES for n in GRAMS
        }
        self._all: dict[tuple[str, int], int] = dict.fromkeys(self._distinct, 0)

    def add(self, texts: Sequence[str]) -> None:
        """Takes in the AltText, VeC and caption of one sample."""
        for name, text in zip(self.NAMES, texts, strict=True):
            words = find_words(text)
            for n in GRAMS:
                grams = [hash(gram) for gram in zip(*(words[i:] for i in range(n)), strict=False)]
                self._distinct[name, n].update(grams)
                self._all[name, n] += len(grams)

    def sums(self) -> dict[str, int]:
        """`<name>_<n>grams` and, of these, `<name>_<n>grams_distinct`."""
        counted = {f"{name}_{n}grams": count for (name, n), count in self._all.items()}
        return counted | {
            f"{name}_{n}grams_distinct": len(grams) for (name, n), grams in self._distinct.items()
        }
