"""A small learnable data set in the layout of docs/architecture.md, written by MosaicML's own MDSWriter.

Each image is a coloured square on a coloured ground, at one of four places; `vecap` names all three,
`alttext` only the ground, among words that say nothing.
"""

from __future__ import annotations

import io
import itertools
import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from streaming import MDSWriter

from engine.build.samples import COLUMNS
from engine.shards.encodings import encode_column
from engine.shards.sample_hash import SAMPLE_HASH, batch_hashes
from engine.tokenizers import load_tokenizer
from engine.tokenizers.clip import WORD_END, build_vocab, load_merges

SOURCES = ("alttext", "vecap")
COLOURS = ((220, 30, 30), (30, 200, 30), (40, 60, 230), (230, 210, 40), (30, 30, 30), (240, 240, 240))
PLACES = ((4, 4), (4, 36), (36, 4), (36, 36))
CONTEXT = 16
KINDS = [
    (ground, square, place)
    for ground, square in itertools.permutations(range(len(COLOURS)), 2)
    for place in range(len(PLACES))
]


def write_corpus(folder: Path, count: int, seed: int, context: int = CONTEXT) -> Path:
    """Writes `count` samples whose kinds go round KINDS in a random order."""
    rng = np.random.default_rng(seed)
    kinds = [KINDS[i] for i in itertools.islice(itertools.cycle(rng.permutation(len(KINDS))), count)]
    with MDSWriter(out=str(folder), columns=COLUMNS, hashes=["sha1"]) as writer:
        for number, kind in enumerate(kinds):
            writer.write(_row(f"{seed}/{number:05d}", kind, rng))
    tokenizer = load_tokenizer("clip", context).describe()
    description = {
        "format": "veclip-engine/1", "sources": list(SOURCES), "tokenizer": tokenizer, "has_scores": False,
        "samples": count,
        "options": {
            "image": {"max_pixels": 64_000_000, "max_side": 16_384}, "source": {"max_image_bytes": 32 << 20},
        },
    }  # fmt: skip
    (folder / "dataset.json").write_text(json.dumps(description))
    return folder


@lru_cache(maxsize=1)
def words() -> list[str]:
    """Words that are one token each, in the order of the vocabulary."""
    tokens = [
        token.removesuffix(WORD_END) for token in build_vocab(load_merges()) if token.endswith(WORD_END)
    ]
    return [word for word in tokens if len(word) > 3 and word.isascii() and word.isalpha()][:400]


def _texts(kind: tuple[int, int, int], rng: np.random.Generator) -> dict[str, str]:
    ground, square, place = kind
    noise = [words()[i] for i in rng.integers(0, 100, 4)]
    return {
        "alttext": " ".join([*noise, words()[100 + ground]]),
        "vecap": " ".join([words()[200 + square], words()[300 + place], words()[100 + ground]]),
    }


def _row(key: str, kind: tuple[int, int, int], rng: np.random.Generator) -> dict[str, Any]:
    texts = _texts(kind, rng)
    ids, lengths = load_tokenizer("clip", CONTEXT).encode_batch([texts[source] for source in SOURCES])
    assert lengths.tolist() == [7, 5]
    row = {
        "key": key,
        "image": _jpeg(kind, rng),
        "width": 64,
        "height": 64,
        "content_hash": "0" * 32,
        "captions": {source: [texts[source]] for source in SOURCES},
        "caption_counts": np.ones(len(SOURCES), np.uint16),
        "token_lengths": lengths.astype(np.uint16),
        "tokens": ids,
    }
    encoded = {name: encode_column(COLUMNS[name], [value]) for name, value in row.items()}
    return {**row, SAMPLE_HASH: int(batch_hashes(encoded)[0])}


def _jpeg(kind: tuple[int, int, int], rng: np.random.Generator) -> bytes:
    ground, square, place = kind
    pixels = np.empty((64, 64, 3), np.float64)
    pixels[:] = COLOURS[ground]
    top, left = PLACES[place]
    pixels[top : top + 24, left : left + 24] = COLOURS[square]
    pixels += rng.normal(0, 12, pixels.shape)
    file = io.BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(file, "JPEG", quality=90)
    return file.getvalue()
