"""Whether the samples of one shard are consistent in themselves: captions, counts, token ids, image sizes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from engine.build.images import image_format
from engine.build.receipts import Contents
from engine.build.samples import columns_of
from engine.native import Limits, NativeError, probe
from engine.shards.encodings import decode_value
from engine.shards.reader import MdsDataset
from engine.tokenizers import Tokenizer

SAMPLES_AT_ONCE = 256


@dataclass(frozen=True)
class Expected:
    """What `dataset.json` promises of every sample; without a tokenizer, token ids are not compared."""

    sources: tuple[str, ...]
    has_scores: bool
    tokenizer: Tokenizer | None
    limits: Limits


@dataclass
class ShardContents:
    """What the samples of a shard hold, for the totals, and what is wrong with them."""

    samples: int = 0
    contents: Contents = field(default_factory=Contents)
    problems: list[str] = field(default_factory=list)


@dataclass
class _Sample:
    name: str
    texts: list[str]
    lengths: NDArray[np.uint16]
    tokens: NDArray[np.uint16]


def check_samples(dataset: MdsDataset, shard: int, expected: Expected) -> Iterator[ShardContents]:
    """Looks at every sample of a shard that is structurally sound; yields a part of the result at a time."""
    layout = dataset.entries[shard].layout
    wanted, given = (
        columns_of(expected.has_scores),
        dict(zip(layout.column_names, layout.column_encodings, strict=True)),
    )
    if missing := [name for name, how in wanted.items() if given.get(name) != how]:
        yield ShardContents(problems=[f"column {missing[0]} is {given.get(missing[0], 'missing')}"])
        return
    opened = dataset.shard(shard)
    for first in range(0, opened.samples, SAMPLES_AT_ONCE):
        result = ShardContents()
        samples = []
        for at in range(first, min(first + SAMPLES_AT_ONCE, opened.samples)):
            values = dict(zip(layout.column_names, opened.values(at), strict=True))
            if (sample := _check_sample(at, values, expected, result)) is not None:
                samples.append(sample)
        if expected.tokenizer is not None:
            result.problems += _token_problems(samples, expected.tokenizer)
        yield result


def _check_sample(
    at: int, values: Mapping[str, bytes], expected: Expected, result: ShardContents
) -> _Sample | None:
    """Counts one sample and notes what is wrong; None if its captions cannot be compared with its tokens."""
    result.samples += 1
    name = f"sample {at} (key {values['key'].decode(errors='replace')!r})"
    _check_image(name, values, expected.limits, result)
    try:
        captions = _captions(values["captions"], expected.sources)
        counts = decode_value("ndarray:uint16", values["caption_counts"])
        lengths = decode_value("ndarray:uint16", values["token_lengths"])
        tokens = decode_value("ndarray:uint16", values["tokens"])
        scores = decode_value("ndarray:float32", values["scores"]) if expected.has_scores else None
    except (ValueError, TypeError, RecursionError) as error:
        result.problems.append(f"{name}: {error}")
        return None
    sizes = [len(texts) for texts in captions.values()]
    result.contents.add(_contents(captions, len(tokens)))
    before = len(result.problems)
    if counts.tolist() != sizes:
        result.problems.append(f"{name}: caption_counts {counts.tolist()}, captions are {sizes}")
    if len(lengths) != sum(sizes):
        result.problems.append(f"{name}: token_lengths has {len(lengths)} entries for {sum(sizes)} captions")
    if len(tokens) != int(lengths.sum(dtype=np.int64)):
        result.problems.append(f"{name}: {len(tokens)} tokens, token_lengths add up to {lengths.sum()}")
    if scores is not None and len(scores) != sum(sizes):
        result.problems.append(f"{name}: {len(scores)} scores for {sum(sizes)} captions")
    if len(result.problems) > before:
        return None
    if scores is not None:
        _count_scores(captions, scores, result.contents)
    return _Sample(name, [text for texts in captions.values() for text in texts], lengths, tokens)


def _check_image(name: str, values: Mapping[str, bytes], limits: Limits, result: ShardContents) -> None:
    image = values["image"]
    stored = tuple(int(decode_value("int32", values[side])) for side in ("width", "height"))
    try:
        info = probe(image, limits)
    except NativeError as error:
        result.problems.append(f"{name}: the image cannot be read ({error})")
        return
    if (info.width, info.height) != stored:
        result.problems.append(
            f"{name}: the image is {info.width} x {info.height}, stored is {stored[0]} x {stored[1]}"
        )
    result.contents.add(Contents(image_bytes=len(image), formats={image_format(image): 1}))


def _captions(data: bytes, sources: Sequence[str]) -> dict[str, list[str]]:
    captions = json.loads(data)
    if not isinstance(captions, dict) or list(captions) != list(sources):
        raise ValueError(f"captions are not of the sources {', '.join(sources)}")
    for source, texts in captions.items():
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            raise ValueError(f"captions of {source} are not a list of texts")
    if not any(captions.values()):
        raise ValueError("no captions")
    return captions


def _contents(captions: Mapping[str, Sequence[str]], tokens: int) -> Contents:
    return Contents(
        tokens=tokens,
        captions={source: len(texts) for source, texts in captions.items()},
        samples_with={source: int(bool(texts)) for source, texts in captions.items()},
    )


def _count_scores(
    captions: Mapping[str, Sequence[str]], scores: NDArray[np.float32], contents: Contents
) -> None:
    ends = np.cumsum([len(texts) for texts in captions.values()])
    for source, own in zip(captions, np.split(scores, ends[:-1]), strict=True):
        contents.add_scores(source, own.tolist())


def _token_problems(samples: Sequence[_Sample], tokenizer: Tokenizer) -> Iterator[str]:
    ids, lengths = tokenizer.encode_batch([text for sample in samples for text in sample.texts])
    at_text = at_id = 0
    for sample in samples:
        expected_lengths = lengths[at_text : at_text + len(sample.texts)]
        total = int(expected_lengths.sum(dtype=np.int64))
        expected = ids[at_id : at_id + total]
        at_text, at_id = at_text + len(sample.texts), at_id + total
        if np.array_equal(expected_lengths, sample.lengths) and np.array_equal(expected, sample.tokens):
            continue
        yield f"{sample.name}: {_first_wrong(sample, expected_lengths, expected)}"


def _first_wrong(sample: _Sample, expected_lengths: NDArray[np.uint16], expected: NDArray[np.uint16]) -> str:
    theirs = np.split(sample.tokens, np.cumsum(sample.lengths, dtype=np.int64)[:-1])
    ours = np.split(expected, np.cumsum(expected_lengths, dtype=np.int64)[:-1])
    wrong = next(at for at in range(len(ours)) if not np.array_equal(ours[at], theirs[at]))
    return f"token ids of caption {wrong} ({sample.texts[wrong][:60]!r}) are not those of its text"
