"""From records of one batch to the encoded columns of their samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from engine.native import hash_bytes
from engine.records import Caption, Record
from engine.shards.encodings import encode_column
from engine.shards.sample_hash import SAMPLE_HASH, hash_column
from engine.tokenizers import Tokenizer, load_tokenizer

COLUMNS = {
    "key": "str",
    "image": "bytes",
    "width": "int32",
    "height": "int32",
    "content_hash": "str",
    "captions": "json",
    "caption_counts": "ndarray:uint16",
    "token_lengths": "ndarray:uint16",
    "tokens": "ndarray:uint16",
    SAMPLE_HASH: "uint64",
}
SCORES = {"scores": "ndarray:float32"}
CONTENT_HASH = "xxh3_128"


@dataclass(frozen=True)
class Prepared:
    """A record whose image passed: the image as it is stored, and its size in pixels."""

    record: Record
    image: bytes
    width: int
    height: int


def columns_of(has_scores: bool) -> dict[str, str]:
    """Encoding by column name, see docs/architecture.md."""
    return COLUMNS | (SCORES if has_scores else {})


@dataclass(frozen=True)
class SampleEncoder:
    """Knows what a dataset stores of a sample.

    Attributes:
        sources: caption sources, in the order of `dataset.json`.
        tokenizer: makes the token ids.
        has_scores: whether there is a `scores` column.
    """

    sources: tuple[str, ...]
    tokenizer: Tokenizer
    has_scores: bool

    def encode(self, samples: Sequence[Prepared]) -> tuple[dict[str, list[bytes]], int]:
        """Encoded values by column, one per sample (there must be one), and the number of token ids."""
        records = [sample.record for sample in samples]
        columns = {
            "key": encode_column("str", [record.key for record in records]),
            "image": [sample.image for sample in samples],
            "width": encode_column("int32", [sample.width for sample in samples]),
            "height": encode_column("int32", [sample.height for sample in samples]),
            "content_hash": encode_column("str", [content_hash(record.image) for record in records]),
            "captions": encode_column("json", [self._texts(record) for record in records]),
        }
        tokens = self._add_tokens(columns, records)
        if self.has_scores:
            columns["scores"] = encode_column("ndarray:float32", [self._scores(record) for record in records])
        columns[SAMPLE_HASH] = hash_column(columns)
        return columns, tokens

    def _texts(self, record: Record) -> dict[str, list[str]]:
        return {source: [caption.text for caption in record.captions[source]] for source in self.sources}

    def _scores(self, record: Record) -> NDArray[np.float32]:
        return stored_scores([caption for source in self.sources for caption in record.captions[source]])

    def _add_tokens(self, columns: dict[str, list[bytes]], records: Sequence[Record]) -> int:
        texts = [c.text for record in records for source in self.sources for c in record.captions[source]]
        counts = [np.array([len(r.captions[source]) for source in self.sources], np.uint16) for r in records]
        ids, lengths = self.tokenizer.encode_batch(texts)
        lengths_of = _split(lengths, [int(count.sum()) for count in counts])
        columns["caption_counts"] = encode_column("ndarray:uint16", counts)
        columns["token_lengths"] = encode_column("ndarray:uint16", lengths_of)
        tokens_of = _split(ids, [int(length.sum(dtype=np.int64)) for length in lengths_of])
        columns["tokens"] = encode_column("ndarray:uint16", tokens_of)
        return len(ids)


def stored_scores(captions: Sequence[Caption]) -> NDArray[np.float32]:
    """float32 `[N]`: the captions' scores, NaN where one is not known."""
    return np.array([np.nan if caption.score is None else caption.score for caption in captions], np.float32)


def content_hash(image: bytes) -> str:
    """What `content_hash` holds: of the image file as it came from the source."""
    return hash_bytes(image, CONTENT_HASH)


@lru_cache(maxsize=2)
def cached_tokenizer(spec: str, context_length: int | None) -> Tokenizer:
    """Loading takes as long as packing hundreds of samples; a worker packs many units."""
    return load_tokenizer(spec, context_length)


def _split(values: NDArray[np.uint16], lengths: Sequence[int]) -> list[NDArray[np.uint16]]:
    """Consecutive pieces of the given lengths."""
    return np.split(values, np.cumsum(lengths)[:-1])
