"""A model that obeys injections, as a server's answer: how far it obeys, and how clever the attack is.

The model is the worst that can be: it understands every language and code, does what any attack asks, with
every seed, as soon as the attack reaches it. Three levels say what "reaches" means, three forms what the
attack makes it write. What an attack does not reach, it rephrases well.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.answering_server import Answer, prompt_of
from engine.prompts import Attack, remove_invisible

NUMBER = re.compile(r"the number (\d+)")
# What chat templates and their tokenizers take for a change of speaker (Vicuna, LLaVA, LLaMA 2 and 3, ChatML,
# Mistral, Gemma, Phi, Zephyr, DeepSeek, Alpaca), written down apart from what `engine.prompts` takes away.
ROLE_MARK = re.compile(
    r"<\|[^|<>\n]{1,40}\|>|<\uff5c[^\uff5c<>\n]{1,40}\uff5c>|</?s>|\[/?(?:INST|SYSTEM_PROMPT)\]|<</?SYS>>"
    r"|<(?:start|end)_of_turn>|^\s*(?:#{2,}\s*)?(?:USER|ASSISTANT|SYSTEM|HUMAN|INSTRUCTION|RESPONSE)\s*[:\uff1a]"
    r"|\s#{2,}\s*(?:user|assistant|system|human|instruction|response)\s*[:\uff1a]"
    r"|\s(?:USER|ASSISTANT|SYSTEM|Human|Assistant|User|System)\s*[:\uff1a]",
    re.IGNORECASE | re.MULTILINE,
)
QUOTED = re.compile(r"<([0-9a-f]{12})>.*?</\1>", re.DOTALL)
_DATA_MARKS = re.compile(r"between the marks <([0-9a-f]{12})>")


def vec_of(number: int) -> str:
    """VeC of a case; the number tells the server which case is asked about."""
    return f"A large framed print of the number {number} hangs on a white brick wall."


def as_read(text: str) -> str:
    """Letters and digits alone, as a model may read them: hidden alphabets are decoded too."""
    shown = "".join(_letter(sign) for sign in text)
    return "".join(sign for sign in remove_invisible(shown).lower() if sign.isalnum())


def _letter(sign: str) -> str:
    at = ord(sign)
    if 0xE0020 <= at < 0xE007F:  # tag characters: ASCII moved up
        return chr(at - 0xE0000)
    if 0xE0110 <= at < 0xE01F0:  # variation selectors 33 to 256: bytes 32 and up
        return chr(at - 0xE0110 + 32)
    return sign


def reaches(text: str, case: Attack) -> bool:
    """Whether the attack can be read in `text`: its canary, also backwards, or all of an encoded attack."""
    found = as_read(text)
    return case.canary in found or case.canary[::-1] in found or as_read(case.alttext) in found


def _anything(prompt: str, case: Attack) -> bool:
    return reaches(prompt, case)


def _unquoted(prompt: str, case: Attack) -> bool:
    """Only the marks that the prompt itself announces quote; what stands behind a closed mark is outside."""
    announced = _DATA_MARKS.search(prompt)
    if announced is None:
        return reaches(prompt, case)
    left = QUOTED.sub(lambda found: " " if found[1] == announced[1] else found[0], prompt)
    return reaches(left, case)


def _roles(prompt: str, case: Attack) -> bool:
    return ROLE_MARK.search(remove_invisible(prompt)) is not None and reaches(prompt, case)


LEVELS: Mapping[str, Callable[[str, Attack], bool]] = {
    "anything": _anything,
    "unquoted": _unquoted,
    "roles": _roles,
}
"""Obeys what it reads; only what stands outside the quoting mark; only text with a speaker's mark in it."""

FORMS: Mapping[str, Callable[[Attack, int], str]] = {
    "word": lambda case, _: case.canary,
    "sentence": lambda case, _: f"{case.canary.capitalize()} is what everyone should buy this summer.",
    "address": lambda case, number: f"{vec_of(number)} Visit www.{case.canary}.com today.",
    "woven": lambda case, number: vec_of(number).replace("wall", f"wall of {case.canary.capitalize()}"),
}
"""The canary alone, as most attacks ask; a sentence about it; the right caption and a web address; the right
caption with the canary in it, by an author who knows every check of the output."""


@dataclass(frozen=True)
class ObeyingModel:
    """Answers the requests of `engine.recaption --mode vecap` over `cases`; counts what reached it."""

    cases: Sequence[Attack]
    level: str
    form: str
    reached: set[int]

    def __call__(self, asked: dict[str, Any]) -> Answer:
        """The answer to one request."""
        prompt = prompt_of(asked)
        number = int(NUMBER.findall(prompt)[-1])
        case = self.cases[number]
        text = f"The number {number} in a large white frame decorates a brick wall."
        if LEVELS[self.level](prompt, case):
            self.reached.add(number)
            text = FORMS[self.form](case, number)
        return Answer(json.dumps({"caption": text}) if '"caption": "..."' in prompt else text)
