"""The word lists in `data/`: small ones of ours; they are all the language model that the checks have."""

from __future__ import annotations

from pathlib import Path


def load_words(name: str) -> frozenset[str]:
    """The words of `data/<name>.txt`, separated by white space, in lower case."""
    path = Path(__file__).parent / "data" / f"{name}.txt"
    return frozenset(path.read_text(encoding="utf-8").split())
