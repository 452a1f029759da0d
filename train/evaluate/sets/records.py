"""Sets that the engine's sources read: their records as items."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from engine.records import Record, Reject
from engine.sources import Source, SourceOptions, Unit
from engine.sources.assemble import Assembler, SampleError, as_list, parse_json, reject
from train.evaluate.sets.base import ImageSet, Item

LABEL = "label"  # the caption source that stands for the class
# Texts beyond this are cut, which no tokenizer sees; all else that is left out of a caption counts.
HARMLESS = "caption_cut"


@dataclass(frozen=True)
class Fields:
    """What the fields of a sample mean.

    Attributes:
        texts: caption source, or `LABEL`, -> selector.
        joined: fields whose texts follow each other in the one source of `texts`: `caption_0`, `caption_1`.
        lines: a text holds one caption a line.
        json: a text is a JSON list of captions.
        split: a field and the value of it that samples of this set have.
        image: the field that every row has, where several rows make a sample: each of them has a caption.
        names: of the images to take, where a list beside the table says which.
    """

    texts: Mapping[str, str]
    joined: tuple[str, ...] = ()
    lines: bool = False
    json: bool = False
    split: tuple[str, str] | None = None
    image: str | None = None
    names: frozenset[str] | None = None

    def of_split(self, column: str, value: str) -> Fields:
        """The same, of one split; "" takes all."""
        return replace(self, split=(column, value)) if value else self


class SetAssembler(Assembler):
    """Reads labels that are numbers, captions one a line, and samples of one split alone."""

    def __init__(self, fields: Fields) -> None:
        """Samples without texts are let in: `RecordSet` says what is wrong with them."""
        captions = dict(fields.texts)
        super().__init__(SourceOptions((), captions=captions, without_captions=True), captions, None)
        self._fields = fields

    @cached_property
    def fields(self) -> frozenset[str]:
        """Fields that a format must read besides the image."""
        split = self._fields.split
        return super().fields.union(self._fields.joined, split[:1] if split else ())

    def chosen(self, fields: Mapping[str, Any]) -> bool:
        """Whether a sample is of the split and among the images to take."""
        wanted = self._fields
        if wanted.split is not None and first(fields, wanted.split[0]) != wanted.split[1]:
            return False
        return wanted.names is None or first(fields, wanted.image) in wanted.names

    def values(self, source: str, fields: Mapping[str, Any]) -> list[Any]:
        """Whole numbers as text, lines one by one."""
        values = super().values(source, fields)
        if self._fields.joined:
            values = [value for name in self._fields.joined for value in as_list(fields.get(name))]
        if self._fields.image is not None:
            rows = len(as_list(fields.get(self._fields.image)))
            if len(values) < rows:
                raise SampleError("bad_row", f"{rows} rows of this image, {len(values)} with a caption")
        if self._fields.lines:
            values = [line for value in values for line in _lines(value)]
        if self._fields.json:
            values = [text for value in values for text in as_list(parse_json(value, source))]
        return [str(value) if type(value) is int else value for value in values]


def first(fields: Mapping[str, Any], name: str | None) -> Any:
    """A field's value; of several rows of one image the first row's."""
    return next(iter(as_list(fields.get(name or ""))), None)


def _lines(value: Any) -> list[Any]:
    if isinstance(value, bytes):
        value = value.decode("utf-8-sig", errors="surrogateescape")
    return value.splitlines() if isinstance(value, str) else [value]


class RecordSet(ImageSet):
    """A source's samples, with a class or with captions."""

    def __init__(
        self, where: str, source: Source, labels: tuple[str, ...] = (), classnames: tuple[str, ...] = ()
    ) -> None:
        """`labels` in the order of the numbers in the source; empty: what stands there is the label."""
        self.where = where
        self.labels = labels
        self.classnames = classnames
        self._source = source
        self._units = source.units()  # found once: it may mean to read a table
        self._names = source.caption_sources

    def units(self) -> list[Unit]:
        """Units of the source."""
        return self._units

    def read(self, unit: Unit) -> Iterator[Item | Reject]:
        """Item by item; a sample of which a caption or the class cannot be used is a reject."""
        for result in self._source.read(unit):
            if isinstance(result, Reject):
                yield result
                continue
            try:
                yield self._item(result)
            except SampleError as error:
                yield reject(result.key, error.code, error.message, unit.where)

    def _item(self, record: Record) -> Item:
        for lost in record.dropped:
            if lost.source == LABEL:
                raise SampleError("bad_label", "the class is neither text nor a number")
            if lost.code != HARMLESS:
                raise SampleError(lost.code, f"a caption ({lost.source}) that cannot be used")
        pairs = [(caption.text, name) for name, texts in record.captions.items() for caption in texts]
        if LABEL in self._names:
            return Item(record.key, record.image, self._label([text for text, _ in pairs]))
        if not pairs:
            raise SampleError("no_caption", "the image has no caption")
        sources = tuple(name for _, name in pairs) if len(self._names) > 1 else ()
        return Item(record.key, record.image, "", tuple(text for text, _ in pairs), sources)

    def _label(self, texts: list[str]) -> str:
        if len(texts) != 1:
            raise SampleError("bad_label", f"{len(texts)} classes; expected one")
        if not self.labels:
            return texts[0]
        number = int(texts[0]) if texts[0].isascii() and texts[0].isdecimal() else -1
        if not 0 <= number < len(self.labels):
            last = len(self.labels) - 1
            raise SampleError("bad_label", f"class {texts[0]!r}; expected a number from 0 to {last}")
        return self.labels[number]
