"""Data sets of engine.shard: every caption of every source."""

from __future__ import annotations

import json
from collections.abc import Iterator

from engine.errors import UserError
from engine.records import Reject
from engine.shards.checks import check_shard
from engine.shards.encodings import decode_value
from engine.shards.reader import MdsDataset, open_dataset
from engine.sources import Unit
from engine.sources.storage import is_url
from train.evaluate.sets.base import ImageSet, Item
from train.evaluate.sets.place import UNIT_IMAGES, Place
from train.evaluate.tasks import Kind, Task

COLUMNS = ("key", "image", "captions")


def find_shards(place: Place, kind: Kind, task: Task) -> ImageSet | None:
    """A folder with index.json and dataset.json."""
    if not (place.file("index.json") and place.file("dataset.json")):
        return None
    if is_url(place.path):
        raise UserError(f"{place.path}: shards are read from a disk; copy the folder to one")
    return ShardSet(place.path)


class ShardSet(ImageSet):
    """A data set on disk; each shard is checked against its hashes before a sample of it is used."""

    def __init__(self, where: str) -> None:
        """Open it.

        Raises:
            UserError: no index, or columns that are not a data set's of engine.shard.
        """
        self.where = where
        self._data = open_dataset(where)
        self._sound: set[int] = set()
        self.images = len(self._data)
        self._sources = caption_sources(self._data)

    def units(self) -> list[Unit]:
        """Runs of samples, none over the end of a shard."""
        found, first = [], 0
        for shard, entry in enumerate(self._data.entries):
            end = first + entry.samples
            for start in range(first, end, UNIT_IMAGES):
                span = (shard, start, min(start + UNIT_IMAGES, end))
                found.append(Unit(f"{entry.stored.basename}[{start}:{span[2]}]", self.where, span))
            first = end
        return found

    def read(self, unit: Unit) -> Iterator[Item | Reject]:
        """Sample by sample.

        Raises:
            UserError: the shard is damaged.
        """
        shard, start, end = unit.payload
        self._check(shard)
        for number in range(start, end):
            yield self._item(number, shard)

    def _check(self, shard: int) -> None:
        if shard in self._sound:
            return
        problems = check_shard(self._data, shard)
        if problems:
            raise UserError(f"{problems[0]}; python -m engine.verify {self.where} says more")
        self._sound.add(shard)

    def _item(self, number: int, shard: int) -> Item:
        encoded = self._data.encoded(number)
        layout = self._data.entries[shard].layout
        encodings = dict(zip(layout.column_names, layout.column_encodings, strict=True))
        key, image, captions = (decode_value(encodings[name], encoded[name]) for name in COLUMNS)
        pairs = [(text, source) for source in self._sources for text in captions.get(source, ())]
        sources = tuple(source for _, source in pairs) if len(self._sources) > 1 else ()
        return Item(key, image, "", tuple(text for text, _ in pairs), sources)


def caption_sources(data: MdsDataset) -> tuple[str, ...]:
    """The names of the caption sources, in order.

    Raises:
        UserError: no data set of engine.shard.
    """
    path = data.directory / "dataset.json"
    try:
        sources = json.loads(path.read_text(encoding="utf-8"))["sources"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: no list of caption sources in it ({error})") from error
    for entry in data.entries:
        missing = set(COLUMNS).difference(entry.layout.column_names)
        if missing:
            raise UserError(f"{data.directory}: shards without column {', '.join(sorted(missing))}")
    return tuple(map(str, sources))
