"""What every tokenizer is to the rest of the engine."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from engine.errors import UserError

# Token ids are stored as uint16: half of int32, and every CLIP and T5 vocabulary fits.
MAX_VOCAB_SIZE = 1 << 16
# What CLIP, open_clip and VeCLIP's text towers read.
DEFAULT_CONTEXT_LENGTH = 77


@dataclass(frozen=True)
class TokenizerInfo:
    """What a dataset records about its tokenizer and a loader compares with its model's.

    `truncation` says in words what happens to a text over `context_length` ids; `bos_id` is `None` where
    texts have no start token.
    """

    name: str
    fingerprint: str
    context_length: int
    vocab_size: int
    pad_id: int
    bos_id: int | None
    eos_id: int
    truncation: str


class Tokenizer(ABC):
    """Turns captions into token ids that a text tower can read as they are, after padding."""

    def __init__(self, info: TokenizerInfo) -> None:
        """Keep `info`.

        Raises:
            UserError: the vocabulary does not fit uint16, or the context length leaves no room for text.
        """
        if info.vocab_size > MAX_VOCAB_SIZE:
            raise UserError(
                f"tokenizer {info.name}: {info.vocab_size:,} token ids; ids are stored as uint16, so at most "
                f"{MAX_VOCAB_SIZE:,} are possible; choose a tokenizer with a smaller vocabulary"
            )
        if not 3 <= info.context_length < MAX_VOCAB_SIZE:
            raise UserError(
                f"tokenizer {info.name}: context length {info.context_length}; expected 3 to 65,535 (uint16)"
            )
        self.info = info

    @abstractmethod
    def encode_batch(self, texts: Sequence[str]) -> tuple[NDArray[np.uint16], NDArray[np.uint16]]:
        """Encode captions.

        Returns:
            All ids back to back (uint16 `[total]`) and the number of ids of each text (uint16 `[N]`), start
            and end tokens included, at most `context_length` each, not padded.
        """

    @property
    def name(self) -> str:
        """`clip`, or the Hugging Face name."""
        return self.info.name

    @property
    def fingerprint(self) -> str:
        """SHA-256 (hex) of everything that decides which ids a text gets."""
        return self.info.fingerprint

    @property
    def context_length(self) -> int:
        """The most ids a text can have."""
        return self.info.context_length

    @property
    def vocab_size(self) -> int:
        """One more than the largest id."""
        return self.info.vocab_size

    @property
    def pad_id(self) -> int:
        """What loaders fill up with."""
        return self.info.pad_id

    @property
    def bos_id(self) -> int | None:
        """The start token, if texts begin with one."""
        return self.info.bos_id

    @property
    def eos_id(self) -> int:
        """The end token, last id of every text."""
        return self.info.eos_id

    @property
    def truncation(self) -> str:
        """What happens to a text that is too long, in words."""
        return self.info.truncation

    def describe(self) -> dict[str, object]:
        """The part of `dataset.json` that says which tokenizer made the ids."""
        return asdict(self.info)


def fingerprint_of(definition: object) -> str:
    """SHA-256 (hex) of a JSON-like definition in canonical form (sorted keys, no white space, UTF-8)."""
    canonical = json.dumps(definition, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode("utf-8", errors="surrogatepass")).hexdigest()


def pack_ids(rows: Iterable[Sequence[int]]) -> tuple[NDArray[np.uint16], NDArray[np.uint16]]:
    """Rows of ids as (ids back to back, lengths), both uint16."""
    rows = list(rows)
    lengths = np.fromiter((len(row) for row in rows), np.uint16, len(rows))
    total = int(lengths.sum(dtype=np.int64))
    return np.fromiter((token for row in rows for token in row), np.uint16, total), lengths
