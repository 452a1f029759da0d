"""Every code that the check of a caption can give: the only list of them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class CaptionStatus:
    """What a code means; whether the text may be used; whether another seed may give a better one."""

    meaning: str
    usable: bool
    retry: bool


def _good(meaning: str) -> CaptionStatus:
    return CaptionStatus(meaning, True, False)


def _again(meaning: str) -> CaptionStatus:
    return CaptionStatus(meaning, False, True)


def _never(meaning: str) -> CaptionStatus:
    return CaptionStatus(meaning, False, False)


REPAIRED_STATUS = {
    "characters_removed": _good("control, zero-width or bidirectional characters were taken out"),
    "preface_removed": _good('a label or an opening such as "Sure, here is the caption:" was taken off'),
    "quotes_removed": _good("the whole caption stood in quotes"),
    "bullet_removed": _good("the caption was the single item of a list"),
    "lines_joined": _good("the sentence was broken over several lines"),
    "image_start_removed": _good('began with "The image shows" or the like; the rest is a caption'),
}

FAILED_STATUS = {
    "empty": _again("no letters at all"),
    "not_text": _again("NUL or lone surrogates"),
    "runaway": _again("far longer than any caption"),
    "cut_off": _again("the token limit came before the end of the sentence (finish reason length)"),
    "refusal": _never("the model declined; the inputs are the reason, so another seed is not tried"),
    "one_word": _again("a single word"),
    "several_lines": _again("several lines that are not one sentence"),
    "list": _again("a list instead of a sentence"),
    "image_start": _again('begins with "The image" or the like, and what follows is no caption by itself'),
    "prompt_echo": _again("repeats the prompt's instructions or plays a role of the chat"),
    "mark_leak": _again("holds the mark that quotes data in the prompt"),
    "loop": _again("repeats words, phrases or characters"),
    "url": _again("a web address that is in none of the inputs"),
    "email": _again("an e-mail address that is in none of the inputs"),
    "wrong_language": _again("another language or script than asked for"),
    "ungrounded": _again("shares no word with VeC: the model followed something else"),
    "repeated": _again("the same caption came for many inputs shortly before"),
}

CAPTION_STATUS: dict[str, CaptionStatus] = {
    "ok": _good("passed every check unchanged"),
    **REPAIRED_STATUS,
    **FAILED_STATUS,
}
