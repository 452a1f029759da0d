"""From records of one batch to the encoded columns of their samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from engine.native import hash_bytes
from engine.records import Record
from engine.shards.encodings import encode_column
from engine.shards.sample_hash import SAMPLE_HASH, hash_column
from engine.tokenizers import Tokenizer

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


def encode_samples(
    samples: Sequence[Prepared], sources: Sequence[str], tokenizer: Tokenizer, has_scores: bool
) -> dict[str, list[bytes]]:
    """Encoded values by column, `len(samples)` each."""
    records = [sample.record for sample in samples]
    columns = {
        "key": encode_column("str", [record.key for record in records]),
        "image": [sample.image for sample in samples],
        "width": encode_column("int32", [sample.width for sample in samples]),
        "height": encode_column("int32", [sample.height for sample in samples]),
        "content_hash": encode_column("str", [hash_bytes(record.image, CONTENT_HASH) for record in records]),
        "captions": encode_column("json", [_texts(record, sources) for record in records]),
        **_token_columns(records, sources, tokenizer),
    }
    if has_scores:
        columns["scores"] = encode_column("ndarray:float32", [_scores(record, sources) for record in records])
    columns[SAMPLE_HASH] = hash_column(columns)
    return columns


def _texts(record: Record, sources: Sequence[str]) -> dict[str, list[str]]:
    return {source: [caption.text for caption in record.captions[source]] for source in sources}


def _scores(record: Record, sources: Sequence[str]) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    scores = [caption.score for source in sources for caption in record.captions[source]]
    return np.array([np.nan if score is None else score for score in scores], np.float32)


def _token_columns(
    records: Sequence[Record], sources: Sequence[str], tokenizer: Tokenizer
) -> Mapping[str, list[bytes]]:
    counts = [np.array([len(record.captions[source]) for source in sources], np.uint16) for record in records]
    texts = [caption.text for record in records for source in sources for caption in record.captions[source]]
    ids, lengths = tokenizer.encode_batch(texts)
    last_caption = np.cumsum([count.sum(dtype=np.int64) for count in counts])
    lengths_of = np.split(lengths, last_caption[:-1])
    last_id = np.cumsum([length.sum(dtype=np.int64) for length in lengths_of])
    return {
        "caption_counts": encode_column("ndarray:uint16", counts),
        "token_lengths": encode_column("ndarray:uint16", lengths_of),
        "tokens": encode_column("ndarray:uint16", np.split(ids, last_id[:-1])),
    }
