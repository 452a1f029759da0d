"""Cleaning that cannot change what a caption says: prefaces, quotes, bullets, broken lines."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import pairwise

from engine.prompts import remove_invisible

_PREFACE = re.compile(
    r"""(?:(?:sure|certainly|of\ course|absolutely|okay|ok|great|yes)\b[^:\n]{0,20}[,!.]\s{0,3})?
    (?:(?:here(?:'s|\u2019s|\ is|\ are)|the\ following\ is|this\ is)\b[^:\n]{0,80}?\b
        (?:captions?|sentences?|rephras\w{1,6}|rewrit\w{1,5}|versions?|descriptions?|answers?|results?)\b[^:\n]{0,60}
      |(?:(?:the|a|my|new|final|short|rephrased|rewritten|revised|combined|fused|image|one-sentence)\ ){0,4}
        (?:caption|sentence|rephrased|rewrite|rewritten|description|answer|output|result|response|summary|version))
    \s{0,3}[:\uff1a]\s{0,3}""",
    re.VERBOSE | re.IGNORECASE,
)
_PAIRS = {
    '"': '"',
    "\u201c": "\u201d",
    "\u2018": "\u2019",
    "'": "'",
    "\u00ab": "\u00bb",
    "`": "`",
    "*": "*",
    "_": "_",
}
_BULLET = re.compile(r"(?:[-*\u2022\u2023\u25aa\u2013]|\(?\d{1,2}[.)])\s{1,4}(?=\S)")
_IMAGE_START = re.compile(r"(?:in\s|on\s)?(?:the|this)\s(?:image|picture|photo|photograph)\b", re.IGNORECASE)
_THING = (
    r"(?=(?:an?|the|two|three|four|five|six|seven|eight|several|many|some|various|multiple|one|people)\b)"
)
# Only where what follows is a noun phrase: taken off, a caption remains.
_IMAGE_SHOWS = re.compile(
    r"(?:(?:the|this)\s(?:image|picture|photo|photograph)\s(?:prominently\s|clearly\s|simply\s|also\s)?"
    r"(?:shows|features|depicts|displays|captures|contains|presents|portrays|showcases|is\sof|is\sshowing)\s"
    r"|in\s(?:the|this)\s(?:image|picture|photo|photograph),\s(?:there\s(?:is|are)\s|we\scan\ssee\s|you\scan\ssee\s)?)"
    + _THING,
    re.IGNORECASE,
)
_SENTENCE_ENDS = (".", "!", "?", ":", "\u3002")


def repair(text: str) -> tuple[str, str]:
    """The caption as one line, and `ok`, the code of the last repair, or the code of what cannot be mended.

    `text` has at most `checks.MOST_CHARACTERS` characters.
    """
    code = "ok"
    visible = remove_invisible(text).strip()
    if visible != text:
        text, code = visible, "characters_removed"
    for mend, name in _MENDS:
        mended = mend(text)
        if mended is None:
            return " ".join(text.split()), _broken_lines(text)
        if mended != text:
            text, code = mended, name
    if _IMAGE_START.match(text):
        start = _IMAGE_SHOWS.match(text)
        if start is None:
            return text, "image_start"
        text, code = _capital(text[start.end() :]), "image_start_removed"
    return " ".join(text.split()), code


def _without_preface(text: str) -> str:
    found = _PREFACE.match(text)
    return text[found.end() :].strip() if found is not None and text[found.end() :].strip() else text


def _without_quotes(text: str) -> str:
    while len(text) > 2 and _PAIRS.get(text[0]) == text[-1] and text[0] not in text[1:-1]:
        text = text[1:-1].strip()
    return text


def _without_bullet(text: str) -> str:
    found = _BULLET.match(text)
    return text if found is None else text[found.end() :]


def _joined(text: str) -> str | None:
    """The lines as one, if they are one sentence that was wrapped; None if they are something else."""
    lines = [line.strip() for line in text.splitlines()]
    if len(lines) == 1:
        return text
    wrapped = all(lines) and not any(_BULLET.match(line) for line in lines)
    if not wrapped or any(
        line.endswith(_SENTENCE_ENDS) or _starts_new(after) for line, after in pairwise(lines)
    ):
        return None
    return " ".join(lines)


def _starts_new(line: str) -> bool:
    """A wrapped sentence goes on in lower case; a capital may be a name, but is no proof of it."""
    return not line[0].islower() and not line[0].isdigit()


def _broken_lines(text: str) -> str:
    bullets = sum(_BULLET.match(line.strip()) is not None for line in text.splitlines())
    return "list" if bullets > 1 else "several_lines"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


_MENDS: tuple[tuple[Callable[[str], str | None], str], ...] = (
    (_without_preface, "preface_removed"),
    (_without_quotes, "quotes_removed"),
    (_joined, "lines_joined"),
    (_without_bullet, "bullet_removed"),
    (_without_quotes, "quotes_removed"),
)
