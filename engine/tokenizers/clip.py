"""CLIP's byte pair tokenizer, token for token as in open_clip, on the Rust `tokenizers` package."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray
from tokenizers import Regex, models, pre_tokenizers
from tokenizers import Tokenizer as RustTokenizer

from engine.tokenizers.base import DEFAULT_CONTEXT_LENGTH, Tokenizer, TokenizerInfo, fingerprint_of, pack_ids
from engine.tokenizers.clip_text import clean_clip_text

SPECIALS = ("<start_of_text>", "<end_of_text>")
WORD_END = "</w>"
PAD_ID = 0  # open_clip fills its tensors with zeros
TRUNCATION = "cut to context_length, last id replaced by the end token"
CLEANING = "ftfy.fix_text, html.unescape twice, white space collapsed, lower case"


def byte_symbols() -> list[str]:
    """The 256 printable stand-ins for bytes, in vocabulary order (GPT-2's table: printable bytes first)."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = len(set(range(256)) - set(printable))
    return [chr(byte) for byte in printable] + [chr(256 + n) for n in range(others)]


def load_merges() -> list[tuple[str, str]]:
    """The merges in rank order, from package data."""
    packed = files("engine.tokenizers").joinpath("data/clip_merges.txt.gz").read_bytes()
    pairs = (line.split(" ") for line in gzip.decompress(packed).decode("utf-8").splitlines())
    return [(left, right) for left, right in pairs]


def build_vocab(merges: list[tuple[str, str]]) -> dict[str, int]:
    """Token -> id: bytes, bytes that end a word, merges, start, end."""
    symbols = byte_symbols()
    tokens = [*symbols, *(symbol + WORD_END for symbol in symbols)]
    tokens += [left + right for left, right in merges]
    return {token: index for index, token in enumerate([*tokens, *SPECIALS])}


def word_pattern() -> str:
    """The pattern that cuts a cleaned text into words, with the Unicode classes written out as ranges."""
    classes = json.loads(files("engine.tokenizers").joinpath("data/clip_classes.json").read_text("utf-8"))
    letter, number, skipped = (_ranges(classes[name]) for name in ("letter", "number", "skipped"))
    s = "[s\u017f]"  # the long s equals "s" when case is ignored, as in open_clip's pattern
    specials = "|".join(special.replace("s", s) for special in SPECIALS)
    return f"{specials}|'{s}|'t|'re|'ve|'m|'ll|'d|[{letter}]+|[{number}]|[^{skipped}{letter}{number}]+"


def _ranges(pairs: list[list[int]]) -> str:
    return "".join(f"\\x{{{first:X}}}-\\x{{{last:X}}}" for first, last in pairs)


def build_rust_tokenizer(merges: list[tuple[str, str]], vocab: dict[str, int]) -> RustTokenizer:
    """The words of `word_pattern`, as byte symbols, merged; no normaliser: Python cleans the text."""
    rust = RustTokenizer(models.BPE(vocab=vocab, merges=merges, end_of_word_suffix=WORD_END))
    words = pre_tokenizers.Split(Regex(word_pattern()), behavior="removed", invert=True)
    as_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=False, use_regex=False)
    rust.pre_tokenizer = pre_tokenizers.Sequence([words, as_bytes])
    return rust


class ClipTokenizer(Tokenizer):
    """`clip`: lower-cased CLIP BPE with start and end tokens, 49,408 ids."""

    def __init__(self, context_length: int | None = None) -> None:
        """Load the merges; offline, no files besides the package's own."""
        merges = load_merges()
        vocab = build_vocab(merges)
        self._start, self._end = (vocab[special] for special in SPECIALS)
        self._special_ids = dict(zip(SPECIALS, (self._start, self._end), strict=True))
        self._rust = build_rust_tokenizer(merges, vocab)
        length = DEFAULT_CONTEXT_LENGTH if context_length is None else context_length
        definition = {
            "kind": "clip-bpe/1", "merges": merges, "pattern": word_pattern(), "specials": SPECIALS,
            "cleaning": CLEANING, "context_length": length, "truncation": TRUNCATION, "pad_id": PAD_ID,
        }  # fmt: skip
        super().__init__(
            TokenizerInfo(
                name="clip",
                fingerprint=fingerprint_of(definition),
                context_length=length,
                vocab_size=len(vocab),
                pad_id=PAD_ID,
                bos_id=self._start,
                eos_id=self._end,
                truncation=TRUNCATION,
            )
        )

    def encode_batch(self, texts: Sequence[str]) -> tuple[NDArray[np.uint16], NDArray[np.uint16]]:
        """Encode captions; see `Tokenizer.encode_batch`."""
        cleaned = [clean_clip_text(text) for text in texts]
        encoded = self._rust.encode_batch_fast(cleaned, add_special_tokens=False)
        room = self.context_length - 2
        rows = []
        for text, encoding in zip(cleaned, encoded, strict=True):
            ids = encoding.ids if "_of_text>" not in text else self._with_specials(text)
            rows.append([self._start, *ids[:room], self._end])
        return pack_ids(rows)

    def _with_specials(self, text: str) -> list[int]:
        """Ids of a text that may spell a special token: open_clip gives such a word the special id."""
        pieces = [piece for piece, _ in self._rust.pre_tokenizer.pre_tokenize_str(text)]
        encoding = self._rust.encode(text, add_special_tokens=False)
        ids: list[int] = []
        for position, (token, word) in enumerate(zip(encoding.ids, encoding.word_ids, strict=True)):
            special = self._special_ids.get(pieces[word])
            first = position == 0 or encoding.word_ids[position - 1] != word
            if special is None:
                ids.append(token)
            elif first:
                ids.append(special)
        return ids
