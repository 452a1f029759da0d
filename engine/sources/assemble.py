"""From the raw fields of one sample to a `Record` or a `Reject`: the same rules for every format."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from engine.records import (
    MAX_CAPTIONS_PER_SOURCE,
    Caption,
    DroppedCaption,
    Record,
    Reject,
    check_key,
    clean_caption,
    printable,
)
from engine.sources.options import SourceOptions
from engine.sources.selectors import MISSING, Selector, parse_selector


@dataclass
class Sample:
    """One sample as the source has it.

    Attributes:
        key: the source's own key.
        image: the file's bytes, `None` if there are none.
        fields: field or column -> bytes, text, number, list or parsed JSON.
        where: file and member or row.
        problem: (code, message) of something that makes the sample unusable.
        names: further names under which `only_keys` may list it (an image path).
    """

    key: Any
    image: bytes | None
    fields: dict[str, Any]
    where: str
    problem: tuple[str, str] | None = None
    names: tuple[str, ...] = field(default=())


class SampleError(Exception):
    """A sample that cannot become a record: code and message."""

    def __init__(self, code: str, message: str) -> None:
        """Keep both."""
        super().__init__(message)
        self.code = code
        self.message = message


class Assembler:
    """Knows which fields are captions, scores and key."""

    def __init__(
        self, options: SourceOptions, captions: Mapping[str, str], only_keys: frozenset[str] | None
    ) -> None:
        """Parse the selectors; `captions` are the options' or what a format found by itself."""
        self.max_image_bytes = options.max_image_bytes
        self.without_captions = options.without_captions
        self.captions = {name: parse_selector(text) for name, text in captions.items()}
        self.scores = {name: parse_selector(text) for name, text in options.scores.items()}
        self.key = parse_selector(options.key_column) if options.key_column else None
        self.only_keys = only_keys

    @property
    def caption_sources(self) -> tuple[str, ...]:
        """Names of the caption sources, in order."""
        return tuple(self.captions)

    @cached_property
    def selectors(self) -> tuple[Selector, ...]:
        """All selectors in use."""
        return (*self.captions.values(), *self.scores.values(), *((self.key,) if self.key else ()))

    @cached_property
    def fields(self) -> frozenset[str]:
        """Fields that a format must read besides the image."""
        return frozenset().union(*(selector.fields for selector in self.selectors))

    @cached_property
    def json_fields(self) -> frozenset[str]:
        """Fields that hold JSON text."""
        return frozenset().union(*(selector.json_fields for selector in self.selectors))

    def chosen(self, fields: Mapping[str, Any]) -> bool:
        """Whether a row or sample is part of the input at all; others leave no trace. Here all are."""
        return True

    def values(self, source: str, fields: Mapping[str, Any]) -> list[Any]:
        """What stands in a sample's fields for a caption source, before it is cleaned."""
        return as_list(self.captions[source].find(fields))

    def wanted(self, sample: Sample) -> bool:
        """Whether `only_keys` may let this sample in: asked before its image is read."""
        return self.key is not None or self._listed(sample.key, sample.names)

    def _listed(self, key: object, names: tuple[str, ...]) -> bool:
        if self.only_keys is None:
            return True
        return not self.only_keys.isdisjoint(names if not isinstance(key, str) else (key, *names))

    def assemble(self, sample: Sample) -> Record | Reject | None:
        """The record or reject of a sample, `None` if `only_keys` leaves it out."""
        if not self.wanted(sample) or (not sample.problem and not self.chosen(sample.fields)):
            return None
        try:
            record = self._record(sample)
            return record if self._listed(record.key, (*sample.names, str(sample.key))) else None
        except SampleError as error:
            return reject(sample.key, error.code, error.message, sample.where)

    def _record(self, sample: Sample) -> Record:
        if sample.problem:
            raise SampleError(*sample.problem)
        self._parse_json(sample)
        key = self._key(sample)
        if not sample.image:
            raise SampleError("no_image", "the sample has no image")
        if len(sample.image) > self.max_image_bytes:
            raise too_large(len(sample.image), self.max_image_bytes)
        dropped: list[DroppedCaption] = []
        captions = {name: self._captions(name, sample.fields, dropped) for name in self.captions}
        if not self.without_captions and not any(captions.values()):
            raise no_caption(dropped)
        return Record(key, sample.image, captions, tuple(dropped))

    def _parse_json(self, sample: Sample) -> None:
        for name in self.json_fields & sample.fields.keys():
            value = sample.fields[name]
            if isinstance(value, (bytes, str)):
                sample.fields[name] = parse_json(value, name)

    def _key(self, sample: Sample) -> str:
        key = sample.key
        if self.key is not None:
            key = self.key.find(sample.fields)
            key = None if key is MISSING else key
            if isinstance(key, bytes):
                key = key.decode("utf-8", errors="surrogateescape").strip()
            if isinstance(key, int) and not isinstance(key, bool):
                key = str(key)
        problem = check_key(key)
        if problem:
            raise SampleError("bad_key", f"the key {problem}")
        return str(key)

    def _captions(
        self, source: str, fields: Mapping[str, Any], dropped: list[DroppedCaption]
    ) -> tuple[Caption, ...]:
        values = self.values(source, fields)
        scores = self._scores(source, fields, len(values))
        if len(values) > MAX_CAPTIONS_PER_SOURCE:
            dropped.append(DroppedCaption(source, "captions_cut"))
        kept = []
        for value, score in zip(values[:MAX_CAPTIONS_PER_SOURCE], scores, strict=False):
            text, code = clean_caption(value)
            if code:
                dropped.append(DroppedCaption(source, code))
            if text:
                kept.append(Caption(text, score))
        return tuple(kept)

    def _scores(self, source: str, fields: Mapping[str, Any], count: int) -> list[float | None]:
        if source not in self.scores:
            return [None] * count
        values = as_list(self.scores[source].find(fields))
        if not values:
            return [None] * count
        if len(values) != count:
            raise SampleError("bad_score", f"{source}: {len(values)} scores for {count} captions")
        return [as_score(value, source) for value in values]


def as_list(value: Any) -> list[Any]:
    """A field's value as a list of values; nothing if it is missing."""
    if value is MISSING or value is None:
        return []
    return value if isinstance(value, list) else [value]


def as_score(value: Any, source: str) -> float | None:
    """A score as float; `None` and NaN stay unknown."""
    if value is None or value == "":
        return None
    try:
        score = float(value)
        if math.isinf(score):
            raise ValueError
        return None if math.isnan(score) else score
    except (TypeError, ValueError, OverflowError):
        shown = printable(repr(value), 40)
        raise SampleError("bad_score", f"{source}: the score {shown} is no number") from None


def parse_json(value: bytes | str, name: str) -> Any:
    """Parse a JSON field of hostile origin."""
    try:
        return json.loads(value)
    except (ValueError, RecursionError) as error:
        raise SampleError("bad_json", f"field {name}: {error}") from None


def no_caption(dropped: Sequence[DroppedCaption]) -> SampleError:
    """The reject of a sample without captions: the first caption's own code if there was one."""
    if not dropped:
        return SampleError("no_caption", "no caption source has a caption for this sample")
    codes = ", ".join(f"{drop.source}: {drop.code}" for drop in dropped[:8])
    return SampleError(dropped[0].code, f"no usable caption ({codes})")


def too_large(size: int, limit: int) -> SampleError:
    """The reject of an image file over the limit."""
    return SampleError("image_too_large", f"the image file has {size:,} bytes; the limit is {limit:,}")


def reject(key: object, code: str, message: str, where: str) -> Reject:
    """A reject of the source stage whose texts can be stored."""
    text = key if isinstance(key, str) else "" if key is None else repr(key)
    return Reject(printable(text), "source", code, printable(message, 500), printable(where, 1000))
