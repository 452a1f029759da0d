"""The word lists in `data/`: small ones of ours; they are all the language model that the checks have."""

from __future__ import annotations

from pathlib import Path


def load_words(name: str) -> frozenset[str]:
    """The words of `data/<name>.txt`, separated by white space, in lower case."""
    return frozenset(_read(name).split())


def load_word_groups(name: str) -> dict[str, frozenset[str]]:
    """The words by group: the first word of each line names the group of the others."""
    groups: dict[str, frozenset[str]] = {}
    for line in _read(name).splitlines():
        group, *words = line.split()
        groups[group] = groups.get(group, frozenset()).union(words)
    return groups


def _read(name: str) -> str:
    return (Path(__file__).parent / "data" / f"{name}.txt").read_text(encoding="utf-8")
