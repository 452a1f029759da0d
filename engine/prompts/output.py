"""Reading a model's answer."""

from __future__ import annotations

import json
import re

_CAPTION = re.compile(r'"caption"\s{0,8}:\s{0,8}"')
# An answer is a few hundred characters; what a runaway model adds is not parsed.
_MOST_CHARACTERS = 20_000


def parse_output(kind: str, text: str) -> str:
    """The caption in an answer: the `caption` of its JSON object, otherwise the answer itself.

    Half an object (the model was cut, or wrote bad JSON) gives what stands in its `caption` so far. For
    `laclip` without JSON it is the first line that is not empty: base models go on with further examples.
    The caption is not checked here: `engine.captions.check_caption`.
    """
    head = text[:_MOST_CHARACTERS]
    found = _CAPTION.search(head)
    if found is not None:
        return _string(head, found.end())
    if kind == "laclip":
        return next((line.strip() for line in head.splitlines() if line.strip()), "")
    return text.strip()


def _string(text: str, start: int) -> str:
    """The JSON string whose content begins at `start`, or as much of it as there is."""
    end = start
    while end < len(text) and text[end] != '"':
        end += 2 if text[end] == "\\" else 1
    body = text[start:end]
    try:
        return str(json.loads(f'"{body}"', strict=False)).strip()
    except ValueError:
        return body.replace('\\"', '"').strip()
