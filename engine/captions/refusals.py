"""Refusals: the model speaks of itself instead of the image."""

from __future__ import annotations

import re
from collections.abc import Sequence

from engine.captions.wordlists import load_words

_CANNOT = (
    "(?:can ?not|can't|couldn't|could not|won't|will not|would not|wouldn't|do not|don't|must not|mustn't)"
)
_WRITE = (
    "(?:provide|fulfil|fulfill|assist|help|comply|generate|create|describe|rephrase|rewrite|write|answer"
    "|complete|do (?:that|this)|see|view|identify|process|respond|engage|support|produce|continue|discuss"
    "|make|access|have)"
)
_I_AM = "i(?: am|'m)"
# Captions are in the third person. "I am sorry" as the motto of a card is followed by other words, so an
# apology counts only with a reason, or where it is all.
_APOLOGY = (
    rf"{_I_AM} (?:very |so |really |truly |deeply )?(?:sorry|afraid)"
    rf"(?:[,.!;:]|$| but\b| that\b| i\b| for (?:the|any)\b| to (?:say|inform|hear)\b)"
)
_OPENINGS = "|".join(
    (
        _APOLOGY,
        rf"{_I_AM} (?:unable|not able|not allowed|not permitted|not comfortable|not going) (?:to|with)\b",
        rf"i {_CANNOT} {_WRITE}\b",
        r"i (?:must|have to) (?:decline|refuse)\b",
        r"(?:my )?apologies[,.!]",
        r"i apologi[sz]e\b",
        r"as an? (?:ai|artificial|large language|language model|responsible|helpful)\b",
        r"(?:this|the|your) (?:request|prompt|input) (?:is|violates|contains|goes|cannot|can't)\b",
        r"(?:this|the) (?:text|sentence|content)s? (?:violates?|goes? against|is inappropriate)\b",
        r"it (?:is|would be) (?:not (?:appropriate|ethical|possible)|inappropriate|unethical)\b",
        r"(?:please|could you|can you) (?:please )?(?:provide|clarify)\b",
    )
)
_LEAD = r"(?:oh,? |unfortunately,? |sorry[,.]? (?:but )?|however,? )?"
_OPENING = re.compile(f"{_LEAD}(?:{_OPENINGS})")
_ANYWHERE = re.compile(
    rf"\b(?:as an? (?:ai|large) language model|{_I_AM} (?:just )?an? (?:ai|language model)\b"
    rf"|i {_CANNOT} (?:provide|fulfil|fulfill|assist|comply|generate|rephrase|rewrite)\b"
    rf"|{_I_AM} (?:unable|not able) to\b|against (?:my|our|openai's) (?:policy|policies|guidelines))"
)
# Every refusal has one of these words, few captions do: most of them are never searched.
_HINTS = load_words("refusal_hints")
_CURLY = str.maketrans({"\u2019": "'", "\u2018": "'", "\n": " ", "\t": " "})


def is_refusal(text: str, words: Sequence[str]) -> bool:
    """Whether the model declined, apologised or asked back instead of writing a caption."""
    if _HINTS.isdisjoint(words):
        return False
    plain = text.lower().translate(_CURLY).lstrip("\"'* {:-")
    return _OPENING.match(plain) is not None or _ANYWHERE.search(plain) is not None
