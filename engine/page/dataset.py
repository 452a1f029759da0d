"""Samples of a dataset for the page."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from engine.build.finish import read_dataset_json
from engine.errors import UserError
from engine.page.model import PageCaption, PageSample
from engine.shards.reader import MdsDataset


def dataset_sources(dataset: MdsDataset) -> list[str]:
    """Caption sources in the dataset's order; none where it was not made by engine.shard."""
    try:
        return list(read_dataset_json(dataset.directory)["sources"])
    except UserError:
        return []


def dataset_samples(dataset: MdsDataset, indices: Iterable[int]) -> Iterator[PageSample]:
    """The samples at these indices, in their order."""
    for index in indices:
        sample = dataset.sample(index)
        shard, at = dataset.locate(index)
        image = sample.get("image")
        yield PageSample(
            str(sample.get("key", index)),
            f"sample {index}: {dataset.entries[shard].stored.basename}, {at}",
            image if isinstance(image, bytes) else None,
            tuple(_captions(sample)),
        )


def _captions(sample: Mapping[str, Any]) -> Iterator[PageCaption]:
    captions = sample.get("captions")
    if not isinstance(captions, dict):
        skipped = ("key", "image", "content_hash", "sample_hash")
        yield from (PageCaption(name, str(value)) for name, value in sample.items() if name not in skipped)
        return
    lengths = iter(sample["token_lengths"].tolist() if "token_lengths" in sample else [])
    scores = iter(sample["scores"].tolist() if "scores" in sample else [])
    for source, texts in captions.items():
        for text in texts:
            score = next(scores, math.nan)
            yield PageCaption(source, text, next(lengths, None), None if math.isnan(score) else score)
