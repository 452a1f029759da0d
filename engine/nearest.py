"""Hints for messages about a name that is not known."""

from __future__ import annotations

import difflib
from collections.abc import Sequence


def nearest(word: str, known: Sequence[str], otherwise: str = "") -> str:
    """` (did you mean X?)` for the closest known name, `otherwise` where none is close."""
    close = difflib.get_close_matches(word, known, n=1)
    return f" (did you mean {close[0]}?)" if close else otherwise
