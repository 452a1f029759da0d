"""How far a caption keeps to what it was made from: nouns and names, without a model.

A noun is guessed: a word that is no stop word, no common verb, adjective or adverb, and does not look like
one. `docs/results/caption-checks.md` says how good the guess is.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from engine.captions.nouns import find_content, find_nouns
from engine.captions.words import find_words


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


@dataclass
class GroundingReport:
    """Sums over a set of captions; `add` them, then `summary`."""

    captions: int = 0
    words: int = 0
    kept: dict[str, list[int]] = field(default_factory=lambda: {"alttext": [0, 0], "vec": [0, 0]})
    nouns: int = 0
    new_nouns: int = 0
    with_new: int = 0
    _grams: dict[int, set[int]] = field(default_factory=lambda: {1: set(), 2: set(), 3: set()})
    _totals: dict[int, int] = field(default_factory=lambda: {1: 0, 2: 0, 3: 0})

    def add(self, caption: str, alttext: str | None, vec: str | None) -> Grounding:
        """Takes one caption in and returns its own figures."""
        one = ground(caption, alttext, vec)
        self.captions += 1
        self.words += one.words
        for name, kept, there in (
            ("alttext", one.kept_alttext, one.all_alttext),
            ("vec", one.kept_vec, one.all_vec),
        ):
            self.kept[name][0] += kept
            self.kept[name][1] += there
        self.nouns += one.nouns
        self.new_nouns += len(one.new)
        self.with_new += bool(one.new)
        self._count_grams(find_words(caption))
        return one

    def summary(self) -> dict[str, float]:
        """Shares between 0 and 1, and means; NaN where there is nothing to divide by."""
        shares = {f"kept_{name}_nouns": _share(*counts) for name, counts in self.kept.items()}
        grams = {f"distinct_{n}": _share(len(self._grams[n]), self._totals[n]) for n in self._grams}
        return {
            "captions": float(self.captions),
            "mean_words": _share(self.words, self.captions),
            **shares,
            "new_nouns": _share(self.new_nouns, self.nouns),
            "captions_with_new_nouns": _share(self.with_new, self.captions),
            **grams,
        }

    def _count_grams(self, words: Iterable[str]) -> None:
        listed = list(words)
        for n, seen in self._grams.items():
            grams = list(zip(*(listed[i:] for i in range(n)), strict=False))
            seen.update(map(hash, grams))
            self._totals[n] += len(grams)


def _share(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")
