"""What an answer must not hold: the prompt's words, its mark, roles of the chat, addresses from nowhere."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from engine.captions.words import find_words

if TYPE_CHECKING:
    from engine.captions.checks import Inputs

_WORDS_OF_AN_ECHO = 5
_ROLE = re.compile(
    r"(?:^|\s)(?:USER|ASSISTANT|SYSTEM|HUMAN|Assistant|Human|User)\s?:"
    r"|</?s>|<\|[^|>]{1,40}\|>|\[/?INST\]|<image>|###\s"
)
_ORDERS = re.compile(
    r"\b(?:rephrase the following|place attributes before|do not start with|write image captions? differently"
    r"|adhering to the (?:provided |given )?instructions|answer with one line of json|system prompt"
    r"|(?:previous|prior|above|preceding) instructions)\b",
    re.IGNORECASE,
)
_ORDER_WORDS = frozenset(("rephrase", "attributes", "start", "write", "instructions", "json", "prompt"))
_EMAIL = re.compile(r"[\w.+%-]{1,64}@[A-Za-z0-9-]{1,63}\.[A-Za-z0-9.-]{2,63}")
_ENDINGS = (
    "com|org|net|edu|gov|info|biz|io|co|uk|de|fr|ru|cn|jp|it|es|eu|us|me|tv|ly|xyz|online|shop|site|app|dev"
)
_MAY_BE_URL = re.compile(r"\w\.[A-Za-z]|://")  # most captions have neither: the search for addresses is dear
_REST = r"[^\s<>\"')]{0,300}"
_URL = re.compile(
    rf"(?:https?://|ftp://|www\.){_REST}|\b[a-z0-9][a-z0-9-]{{1,62}}\.(?:{_ENDINGS})\b(?:/{_REST})?",
    re.IGNORECASE,
)


def echo_code(text: str, words: Sequence[str], inputs: Inputs) -> str | None:
    """`mark_leak`, `prompt_echo`, `email` or `url` where `text` holds one, otherwise None."""
    prompt = inputs.prompt
    if prompt is not None and prompt.mark and prompt.mark in text.lower():
        return "mark_leak"
    if _plays_a_role(text) or _repeats_orders(text, words):
        return "prompt_echo"
    if prompt is not None and not _phrases(prompt.form).isdisjoint(_grams(words)):
        return "prompt_echo"
    if "@" in text and _is_new(_EMAIL, text, inputs):
        return "email"
    if _MAY_BE_URL.search(text) is not None and _is_new(_URL, text, inputs):
        return "url"
    return None


def _plays_a_role(text: str) -> bool:
    return any(sign in text for sign in ":<[#") and _ROLE.search(text) is not None


def _repeats_orders(text: str, words: Sequence[str]) -> bool:
    return not _ORDER_WORDS.isdisjoint(words) and _ORDERS.search(text) is not None


def _is_new(pattern: re.Pattern[str], text: str, inputs: Inputs) -> bool:
    given = f"{inputs.alttext or ''} {inputs.vec or ''}".lower()
    return any(found.rstrip(".,;").lower() not in given for found in pattern.findall(text))


@lru_cache(maxsize=256)
def _phrases(form: str) -> frozenset[tuple[str, ...]]:
    """All runs of five words in the prompt's own words; the place holders for data keep them apart."""
    return frozenset(_grams(find_words(form)))


def _grams(words: Sequence[str]) -> set[tuple[str, ...]]:
    return set(zip(*(words[i:] for i in range(_WORDS_OF_AN_ECHO)), strict=False))
