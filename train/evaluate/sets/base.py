"""The shape of every held-out set: work units in a fixed order, each read as a stream."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass

from engine.records import Reject
from engine.sources import Unit
from engine.sources.assemble import SampleError


@dataclass(frozen=True)
class Item:
    """One image with what the set says of it.

    Attributes:
        key: of the image in its set.
        image: the file's bytes.
        label: its class as the set names it; empty in sets of captions.
        texts: its captions in the set's order; empty in sets of classes.
        sources: the caption source of each text, where the set has several; else empty.
    """

    key: str
    image: bytes
    label: str = ""
    texts: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()


def readable(keys: Iterable[str], read: Callable[[str], bytes]) -> dict[str, bytes]:
    """The files that can be read, by key; `read` raises SampleError for the others."""
    found = {}
    for key in keys:
        with suppress(SampleError):
            found[key] = read(key)
    return found


class ImageSet(ABC):
    """Images of one set. The same input gives the same units and items, in the same order.

    Attributes:
        where: path, for messages.
        labels: all classes in the set's own order, where it knows them before it is read; else empty.
        classnames: the set's own names of `labels` for texts; else empty.
        templates: the set's own templates with {} for the name; else empty.
        images: how many there are, where that is known before they are read; for progress only.
    """

    where: str
    labels: tuple[str, ...] = ()
    classnames: tuple[str, ...] = ()
    templates: tuple[str, ...] = ()
    images: int | None = None

    @abstractmethod
    def units(self) -> list[Unit]:
        """All work units in order; ranks share them out."""

    @abstractmethod
    def read(self, unit: Unit) -> Iterator[Item | Reject]:
        """Every image of a unit in order, or why it is none; memory stays bounded."""

    def pictures(self, keys: Collection[str]) -> dict[str, bytes]:
        """The files of a few images, by key."""
        wanted, found = set(keys), {}
        for unit in self.units():
            if not wanted:
                break
            for item in self.read(unit):
                if isinstance(item, Item) and item.key in wanted:
                    found[item.key] = item.image
                    wanted.remove(item.key)
        return found
