"""The check of a caption that a model wrote: cleaned text and one code of `CAPTION_STATUS`."""

from __future__ import annotations

from dataclasses import dataclass

from engine.captions.echo import echo_code
from engine.captions.language import is_foreign
from engine.captions.loops import has_loop
from engine.captions.refusals import is_refusal
from engine.captions.repairs import repair
from engine.captions.status import FAILED_STATUS
from engine.captions.words import STOP_WORDS, content_stems, find_words, has_letters
from engine.prompts import Prompt
from engine.records import is_utf8

MOST_CHARACTERS = 2000
"""Captions of the field's longest kind (DreamLIP, ShareGPT4V) stay below; rules read no more than this."""
_REPORTED = 4 * MOST_CHARACTERS  # of a text that is far too long, for the report
_SENTENCE_ENDS = (".", "!", "?", '."', ".)", "\u3002")


@dataclass(frozen=True)
class Inputs:
    """What the caption was made from.

    `source` is the caption source (`vec`, `vecap`, `rewrite/<pack>`), `finish_reason` the server's (`length`
    where the token limit was reached), `alttext` and `vec` as the prompt had them.
    """

    source: str
    finish_reason: str | None = None
    alttext: str | None = None
    vec: str | None = None
    prompt: Prompt | None = None


@dataclass(frozen=True)
class Checked:
    """The caption after safe cleaning, and its code; an unusable text is for reports."""

    text: str
    code: str


def check_caption(text: str, inputs: Inputs) -> Checked:
    """Checks one caption: the first rule that it breaks is its code.

    The time is linear in the length of `text`, whatever it holds.
    """
    if "\0" in text or not is_utf8(text):
        return Checked(
            text[:_REPORTED].encode("utf-8", "replace").decode().replace("\0", "\ufffd"), "not_text"
        )
    text = text.strip()
    if len(text) > MOST_CHARACTERS:
        return Checked(text[:_REPORTED], "runaway")
    if not has_letters(text):
        return Checked(text, "empty")
    words = find_words(text)
    if is_refusal(text, words):
        return Checked(text, "refusal")
    cleaned, code = repair(text)
    if code not in FAILED_STATUS:
        code = _first_broken(cleaned, words if cleaned == text else find_words(cleaned), inputs) or code
    return Checked(cleaned, code)


def _first_broken(text: str, words: list[str], inputs: Inputs) -> str | None:
    if inputs.finish_reason == "length" and not text.endswith(_SENTENCE_ENDS):
        return "cut_off"
    found = echo_code(text, words, inputs)
    if found is not None:
        return found
    if is_foreign(text, words):
        return "wrong_language"
    if len(words) < 2:
        return "one_word"
    if has_loop(text, words):
        return "loop"
    if inputs.source == "vecap" and inputs.vec and not _grounded(words, inputs.vec):
        return "ungrounded"
    return None


def _grounded(words: list[str], vec: str) -> bool:
    wanted = set(find_words(vec)) - STOP_WORDS
    # Stems cost more than all other rules together; words that are the same need none.
    if not wanted or not wanted.isdisjoint(words):
        return True
    return not content_stems(wanted).isdisjoint(content_stems(words))
