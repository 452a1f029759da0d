"""Making text from the web safe to stand inside a prompt."""

from __future__ import annotations

import hashlib
import re

from engine.native import key_hashes

# Tokenizers of chat models read <...> and [INST] as control tokens, wherever they stand.
_TAG = re.compile(r"[<\uff1c\u2039][^<>\uff1c\uff1e]{0,80}[>\uff1e]")
_SHAPES = str.maketrans(
    {"<": " ", ">": " ", "\uff1c": " ", "\uff1e": " ", "[": "(", "]": ")", "\u3010": "(", "\u3011": ")"}
    | {"{": "(", "}": ")", "`": "'", "\u2581": " ", "\uff5c": " ", "|": "/", "\\": "/"}
)
# The chat's own roles also behind other letters; the rest are endings of common words ("Dubai:").
_ROLE_MARK = re.compile(
    r"((?:user|assistant|system|human)|\b(?:gpt|ai|bot|model|tool|developer|instructions?|response|input|output"
    r"|prompt|answer|question))\s{0,3}[:\uff1a]",
    re.IGNORECASE,
)
_RULERS = re.compile(r"#{2,}|={3,}|-{3,}|\*{3,}|~{3,}|_{3,}|'{3,}|\"{3,}|=>")
# Cc but white space; Cf: zero width, bidi, soft hyphen, tags; variation selectors but U+FE0E and U+FE0F;
# lone surrogates.
_INVISIBLE = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\xad\u0600-\u0605\u061c\u06dd\u070f\u115f\u1160\u17b4\u17b5\u180b-\u180f"
    "\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0d\ufeff\uffa0\ufff0-\ufffb\ud800-\udfff"
    "\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)


def remove_invisible(text: str) -> str:
    """`text` without control, zero-width, bidirectional and tag characters; white space stays.

    Joiners inside emoji and Persian words go too: what cannot be seen cannot be reviewed.
    """
    return _INVISIBLE.sub("", text)


def neutralise(text: str) -> str:
    """`text` as one line that no chat template, tokenizer or reader takes for anything but data.

    Control tokens (`<|im_start|>`, `</s>`, `[INST]`, `<image>`), markup, role marks (`ASSISTANT:`), rulers
    (`###`), invisible characters and line ends go; the words stay. Applying it twice changes nothing.
    """
    # Tags become a space, not nothing: what they held apart must not join to something new.
    line = _TAG.sub(" ", remove_invisible(text)).translate(_SHAPES)
    line = _RULERS.sub(" ", _ROLE_MARK.sub(r"\1,", line))
    return " ".join(line.split())


def request_mark(key: str, seed: int, attempt: int = 0) -> str:
    """The mark that quotes data in one request: 12 hex digits that its author could not know.

    A keyed BLAKE2b of the sample key under the run's seed: a resumed run sends the same request.
    """
    secret = seed.to_bytes(8, "little") + attempt.to_bytes(4, "little")
    return hashlib.blake2b(key.encode("utf-8", "replace"), digest_size=6, key=secret).hexdigest()


def key_hash_of(key: str) -> int:
    """xxh3_64 of a sample key, what all draws of the sample start from."""
    return int(key_hashes([key.encode("utf-8", "replace")])[0])
