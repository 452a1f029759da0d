"""Texts as a model reads them, and how long they were before they were cut."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from engine.errors import UserError
from engine.records import MAX_CAPTION_CHARS
from engine.tokenizers import Tokenizer, load_tokenizer
from engine.tokenizers.base import MAX_VOCAB_SIZE, fingerprint_of
from engine.tokenizers.clip import ClipTokenizer
from engine.tokenizers.huggingface import DEFINING


@dataclass(frozen=True)
class Tokens:
    """M texts: `ids` int64 `[M, context]`; `lengths` int64 `[M]` before the cut, start and end included.

    `mask` int64 `[M, context]` is there for models that ask for it.
    """

    ids: NDArray[np.int64]
    lengths: NDArray[np.int64]
    mask: NDArray[np.int64] | None = None


class TextReader(Protocol):
    """Makes tokens of texts; `context` is the most that the model reads of one.

    `fingerprint` is of the ids that texts get; where only the model's files say that, they have it.
    """

    context: int
    fingerprint: str

    def __call__(self, texts: Sequence[str]) -> Tokens:
        """The tokens of at least one text."""


class ClipReader:
    """open_clip's own tokenizer, by our Rust one: the same ids in a tenth of the time."""

    def __init__(self, context: int) -> None:
        """Loads the merges."""
        self.context = context
        # A character is at most four tokens, so nothing is cut before it was counted.
        self._tokenizer = ClipTokenizer(min(4 * MAX_CAPTION_CHARS + 2, MAX_VOCAB_SIZE - 1))
        self.fingerprint = self._tokenizer.fingerprint

    def __call__(self, texts: Sequence[str]) -> Tokens:
        """See `TextReader`."""
        flat, lengths = self._tokenizer.encode_batch(texts)
        ids = np.full((len(texts), self.context), self._tokenizer.pad_id, np.int64)
        for row, own in zip(ids, np.split(flat, np.cumsum(lengths, dtype=np.int64)[:-1]), strict=True):
            row[: len(own)] = own[: self.context]
            if len(own) > self.context:
                row[-1] = self._tokenizer.eos_id
        return Tokens(ids, lengths.astype(np.int64))


class TokenizerReader:
    """A tokenizer of ours; `lengths` are of texts that are cut already."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        """Keeps it."""
        self.tokenizer = tokenizer
        self.context, self.fingerprint = tokenizer.context_length, tokenizer.fingerprint

    def __call__(self, texts: Sequence[str]) -> Tokens:
        """See `TextReader`."""
        flat, lengths = self.tokenizer.encode_batch(texts)
        ids = np.full((len(texts), self.context), self.tokenizer.pad_id, np.int64)
        ids[np.arange(self.context) < lengths[:, None]] = flat
        return Tokens(ids, lengths.astype(np.int64))


def chosen_reader(spec: str, context: int, vocabulary: int) -> TokenizerReader:
    """A tokenizer that the user names for a model.

    Args:
        spec: `clip`, a folder or a name on the Hub.
        context: tokens that the model reads of a text.
        vocabulary: how many ids it knows.

    Raises:
        UserError: not found, or the model does not know all of its ids.
    """
    tokenizer = load_tokenizer(spec, context)
    if tokenizer.vocab_size > vocabulary:
        raise UserError(
            f"--tokenizer {spec}: has {tokenizer.vocab_size:,} ids, the model knows {vocabulary:,}; "
            "give its own"
        )
    return TokenizerReader(tokenizer)


class OpenClipReader:
    """Any other tokenizer of open_clip: its ids are taken as they are."""

    def __init__(self, tokenizer: Any) -> None:
        """Keeps a `SimpleTokenizer` or an `HFTokenizer`."""
        self.context = int(tokenizer.context_length)
        self._tokenizer = tokenizer
        self.fingerprint = _fingerprint(getattr(tokenizer, "tokenizer", None))

    def __call__(self, texts: Sequence[str]) -> Tokens:
        """See `TextReader`."""
        ids = self._tokenizer(list(texts)).numpy()
        return Tokens(ids, np.array(self._lengths(texts), np.int64))

    def _lengths(self, texts: Sequence[str]) -> list[int]:
        if hasattr(self._tokenizer, "encode"):
            return [len(self._tokenizer.encode(text)) + 2 for text in texts]
        cleaned = [self._tokenizer.clean_fn(text) for text in texts]
        return [len(ids) for ids in self._tokenizer.tokenizer(cleaned, verbose=False).input_ids]


class HuggingFaceReader:
    """A tokenizer of transformers, padded to the model's whole context."""

    def __init__(self, tokenizer: Any, context: int, masked: bool) -> None:
        """Keeps the tokenizer; `masked`: whether the model is told what is padding."""
        self.context = context
        self._tokenizer = tokenizer
        self._masked = masked and "attention_mask" in tokenizer.model_input_names
        self.fingerprint = _fingerprint(tokenizer)

    def __call__(self, texts: Sequence[str]) -> Tokens:
        """See `TextReader`."""
        cut = self._tokenizer(
            list(texts), padding="max_length", truncation=True, max_length=self.context,
            return_attention_mask=True, return_tensors="np",
        )  # fmt: skip
        whole = self._tokenizer(list(texts), verbose=False).input_ids
        mask = cut["attention_mask"].astype(np.int64) if self._masked else None
        lengths = np.array([len(ids) for ids in whole], np.int64)
        return Tokens(cut["input_ids"].astype(np.int64), lengths, mask)


def _fingerprint(tokenizer: Any) -> str:
    """Of a tokenizer of transformers; empty where it is not one of the fast kind."""
    rust = getattr(tokenizer, "backend_tokenizer", None)
    definition = {} if rust is None else json.loads(rust.to_str())
    return fingerprint_of({part: definition.get(part) for part in DEFINING}) if definition else ""
