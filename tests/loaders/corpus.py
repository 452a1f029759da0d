"""A small data set in the layout of docs/architecture.md, written by MosaicML's own MDSWriter."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from streaming import MDSWriter

from engine.build.samples import columns_of

SOURCES = ("alttext", "vecap")
START, END = 49406, 49407
CONTEXT = 16
FINGERPRINT = "a" * 64


@dataclass(frozen=True)
class Sample:
    """What a test knows of a sample: the JPEG, per source the ids of each caption, scores in that order."""

    key: str
    image: bytes
    captions: dict[str, list[list[int]]]
    scores: list[float]


def make_samples(count: int, vecap_missing: bool = False) -> list[Sample]:
    """Noisy JPEGs of many sizes; one to three AltTexts, one VeCap (if asked, none for each third sample)."""
    rng = np.random.default_rng(7)
    samples = []
    for i in range(count):
        pixels = rng.integers(0, 256, (24 + i % 17, 20 + i % 23, 3), np.uint8)
        file = io.BytesIO()
        Image.fromarray(pixels).resize((pixels.shape[1] * 2, pixels.shape[0] * 2)).save(file, "JPEG")
        alttexts = [[START, 1000 + i, *range(1, 1 + n), END] for n in range(1 + i % 3)]
        vecaps = [] if vecap_missing and i % 3 == 0 else [[START, 2000 + i, 5, 6, 7, END]]
        scores = [float(s) for s in rng.random(len(alttexts) + len(vecaps))]
        samples.append(
            Sample(f"site/{i:04d}.jpg", file.getvalue(), {"alttext": alttexts, "vecap": vecaps}, scores)
        )
    return samples


def write_dataset(
    folder: Path,
    samples: list[Sample],
    shards: int = 4,
    with_scores: bool = True,
    compression: str | None = None,
    sources: Sequence[str] = SOURCES,
) -> Path:
    """Write `samples` as one sub-folder per work unit, then the merged index and dataset.json."""
    columns = columns_of(with_scores)
    settings: dict[str, Any] = {"columns": columns, "hashes": ["sha1", "xxh3_64"], "compression": compression}
    index: list[dict[str, Any]] = []
    for unit, part in enumerate(np.array_split(np.arange(len(samples)), shards)):
        name = f"{unit:05d}"
        with MDSWriter(out=str(folder / name), **settings) as writer:
            for i in part:
                writer.write({k: v for k, v in row(samples[i], sources).items() if k in columns})
        for shard in json.loads((folder / name / "index.json").read_text())["shards"]:
            for file in (shard["raw_data"], shard["zip_data"] or {"basename": ""}):
                file["basename"] = f"{name}/{file['basename']}"
            index.append(shard)
        (folder / name / "index.json").unlink()
    (folder / "index.json").write_text(json.dumps({"version": 2, "shards": index}, sort_keys=True))
    (folder / "dataset.json").write_text(json.dumps(description(len(samples), with_scores, sources)))
    return folder


def row(sample: Sample, sources: Sequence[str] = SOURCES) -> dict[str, Any]:
    """Return a sample as the columns of docs/architecture.md (hashes are of no matter to a loader)."""
    captions = [ids for source in sources for ids in sample.captions[source]]
    with Image.open(io.BytesIO(sample.image)) as image:
        width, height = image.size
    return {
        "key": sample.key,
        "image": sample.image,
        "width": width,
        "height": height,
        "content_hash": "0" * 32,
        "captions": {source: [str(ids) for ids in sample.captions[source]] for source in sources},
        "caption_counts": np.array([len(sample.captions[s]) for s in sources], np.uint16),
        "token_lengths": np.array([len(ids) for ids in captions], np.uint16),
        "tokens": np.array([token for ids in captions for token in ids], np.uint16),
        "scores": np.array(sample.scores, np.float32),
        "sample_hash": 0,
    }


def description(count: int, with_scores: bool, sources: Sequence[str] = SOURCES) -> dict[str, Any]:
    """Return the part of dataset.json that loaders read."""
    tokenizer = {"name": "clip", "fingerprint": FINGERPRINT, "context_length": CONTEXT, "pad_id": 0}
    return {
        "format": "veclip-engine/1",
        "sources": list(sources),
        "tokenizer": tokenizer,
        "has_scores": with_scores,
        "samples": count,
        "options": {
            "image": {"max_pixels": 64_000_000, "max_side": 16_384},
            "source": {"max_image_bytes": 32 << 20},
        },
    }
