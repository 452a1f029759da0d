"""Features of a whole set: in batches, by ranks, out of a cache where they are known.

A batch is the next `batch_size` images of the set, whatever units they come from, so it is the same on any
number of ranks. Every rank reads the whole set and computes every `ranks`-th batch of it.
"""

from __future__ import annotations

import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from composer.utils import dist
from numpy.typing import NDArray

from engine.ahead import ahead
from engine.errors import UserError
from engine.native import NativeError, Status, status_sentence
from engine.records import Reject, native_code
from engine.sources import Unit
from engine.ui import count_of
from train.evaluate.cache import FeatureCache, Rows, digest_of
from train.evaluate.encoder import Encoder, Features
from train.evaluate.progress import Progress, progress
from train.evaluate.sets.base import ImageSet, Item

T = TypeVar("T")
PORTIONS_AHEAD = 4  # that are decoded before the model wants them, besides one for each of its threads
TEXTS = 4  # times as many texts a batch as images: they are small, and sorted by length within a batch
SHOWN = 3


@dataclass(frozen=True)
class EmbedOptions:
    """How a set is embedded.

    Attributes:
        batch_size: images a batch, the unit of work and of the cache; texts in proportion.
        cache: folder of features by model and content; None keeps nothing.
        bad_images: how many may fail to be read or decoded before the set is given up.
    """

    batch_size: int = 256
    cache: Path | None = None
    bad_images: int = 0

    def __post_init__(self) -> None:
        """Refuse what cannot be.

        Raises:
            UserError: naming the option.
        """
        if self.batch_size < 1 or self.bad_images < 0:
            raise UserError(
                f"--batch-size {self.batch_size}, --bad-images {self.bad_images}; expected at least 1 and 0"
            )


@dataclass(frozen=True)
class Embedded:
    """A set as a model sees it, the same on every rank.

    Attributes:
        image: float32 [N, D], as the model gives them, in the set's order.
        keys: N.
        labels: N classes as the set names them; empty strings in sets of captions.
        texts: M captions in the set's order.
        image_of_text: int64 [M].
        source_of_text: M names of caption sources, where the set has several; else empty.
        rejects: images that are left out, and why.
    """

    image: Features
    keys: list[str]
    labels: list[str]
    texts: list[str]
    image_of_text: NDArray[np.int64]
    source_of_text: list[str]
    rejects: list[Reject]


def embed_set(image_set: ImageSet, encoder: Encoder, options: EmbedOptions, title: str = "") -> Embedded:
    """Features of every image; all ranks call it.

    Args:
        image_set: read from beginning to end.
        encoder: the model.
        options: batches, cache, how many images may be unusable.
        title: before the progress, which rank 0 shows.

    Raises:
        UserError: on all ranks: the set cannot be read or is empty, or too many images cannot be used.
    """
    reader = _Reader(image_set, options)
    with progress(title, "images", image_set.images) as shown:
        own = _Share(reader, encoder, options, shown)
        rows = _in_order(_shared(own.run))
    found = _assembled(reader, rows)
    _refuse_bad(image_set, found.rejects, options)
    if not found.keys:
        raise UserError(f"{image_set.where}: no images")
    return found


def embed_texts(texts: Sequence[str], encoder: Encoder, options: EmbedOptions) -> Features:
    """Features of texts, float32 [M, D], in their order; all ranks call it with the same ones.

    A text that is there twice is computed once.

    Raises:
        UserError: on all ranks, when any fails.
    """
    # Batches of texts of one length waste least; the order is a function of the texts alone.
    different = sorted(dict.fromkeys(texts), key=lambda text: (len(text), text))
    size = TEXTS * options.batch_size
    batches = [different[at : at + size] for at in range(0, len(different), size)]
    cache = FeatureCache(options.cache, encoder.id)

    def compute() -> dict[int, Rows]:
        rank, ranks = dist.get_global_rank(), dist.get_world_size()
        with progress("", "texts", len(different)) as shown:
            done = {}
            for number in range(rank, len(batches), ranks):
                done[number] = _texts(batches[number], encoder, cache)
                shown.update(min((number + 1) * size, len(different)))
        cache.trim()
        return done

    rows = _in_order(_shared(compute))
    if not rows:
        raise UserError("no texts to compare images with")
    features = np.concatenate([part.features for part in rows])
    place = {text: at for at, text in enumerate(different)}
    return features[[place[text] for text in texts]]


def _texts(batch: Sequence[str], encoder: Encoder, cache: FeatureCache) -> Rows:
    digest = digest_of("texts", [text.encode("utf-8", "surrogatepass") for text in batch])
    known = cache.find(digest, len(batch))
    if known is None:
        known = Rows(encoder.texts(batch), np.zeros(len(batch), np.uint8))
        cache.keep(digest, known)
    return known


@dataclass(frozen=True)
class _Batch:
    """Files of a batch, empty where its rows are known."""

    number: int
    digest: str
    files: list[bytes]
    known: Rows | None


class _Reader:
    """Reads a set once; keeps all but the files."""

    def __init__(self, image_set: ImageSet, options: EmbedOptions) -> None:
        self.set = image_set
        self.said: list[tuple[Item, str]] = []  # without the file; where it came from
        self.rejects: list[tuple[int, Reject]] = []  # how many images stand before it
        self._options = options
        self._keys: set[str] = set()

    def _one_name(self, key: str, unit: Unit) -> str:
        """Keys of a set of several tars may repeat; the report must not take one image for another."""
        key = f"{key} ({unit.name})" if key in self._keys else key
        self._keys.add(key)
        return key

    def batches(self) -> Iterator[list[bytes]]:
        """Files of each batch in turn."""
        files: list[bytes] = []
        for unit in self.set.units():
            for item in self.set.read(unit):
                if isinstance(item, Reject):
                    self.rejects.append((len(self.said), item))
                    _refuse_bad(self.set, [reject for _, reject in self.rejects], self._options)
                    continue
                key = self._one_name(item.key, unit)
                self.said.append((Item(key, b"", item.label, item.texts, item.sources), unit.where))
                files.append(item.image)
                if len(files) == self._options.batch_size:
                    yield files
                    files = []
        if files:
            yield files


@dataclass(frozen=True)
class _Portion:
    """Some images of a batch; features come later."""

    batch: _Batch
    status: NDArray[np.uint8]
    features: Future[Features]
    last: bool


class _Share:
    """The batches of this rank: read and decoded in a thread, ahead of the model's."""

    def __init__(self, reader: _Reader, encoder: Encoder, options: EmbedOptions, shown: Progress) -> None:
        self._reader, self._encoder, self._options, self._shown = reader, encoder, options, shown
        self._cache = FeatureCache(options.cache, encoder.id)
        self._rows: dict[int, Rows] = {}
        self._parts: list[Rows] = []
        self._bad: list[tuple[int, int]] = []  # places in the set, and why

    def run(self) -> dict[int, Rows]:
        """Rows by number of batch."""
        begun: deque[_Portion] = deque()
        with closing(ahead(self._decoded(), PORTIONS_AHEAD + self._encoder.workers)) as decoded:
            for batch, pixels, status, last in decoded:
                begun.append(_Portion(batch, status, self._encoder.images(pixels), last))
                while len(begun) > 1 + self._encoder.workers:
                    self._finish(begun.popleft())
        while begun:
            self._finish(begun.popleft())
        self._cache.trim()
        return self._rows

    def _decoded(self) -> Iterator[tuple[_Batch, NDArray[np.float32], NDArray[np.uint8], bool]]:
        at_once = self._encoder.at_once
        for batch in self._own():
            if batch.known is not None:
                self._rows[batch.number] = batch.known
                continue
            for at in range(0, len(batch.files), at_once):
                last = at + at_once >= len(batch.files)
                yield batch, *self._encoder.decoded(batch.files[at : at + at_once]), last

    def _own(self) -> Iterator[_Batch]:
        rank, ranks = dist.get_global_rank(), dist.get_world_size()
        for number, files in enumerate(self._reader.batches()):
            if number % ranks == rank:
                digest = digest_of("images", files)
                yield _Batch(number, digest, files, self._cache.find(digest, len(files)))
            self._shown.update(len(self._reader.said))

    def _finish(self, portion: _Portion) -> None:
        features, bad = portion.features.result(), portion.status != Status.OK
        features[bad] = 0
        first = portion.batch.number * self._options.batch_size + sum(
            len(part.status) for part in self._parts
        )
        self._parts.append(Rows(features, portion.status))
        self._bad += [(first + int(at), int(portion.status[at])) for at in np.flatnonzero(bad)]
        _refuse_bad(self._reader.set, [_undecoded(self._reader, *one) for one in self._bad], self._options)
        if portion.last:
            self._rows[portion.batch.number] = rows = _joined(self._parts)
            self._cache.keep(portion.batch.digest, rows)
            self._parts = []


def _joined(parts: Sequence[Rows]) -> Rows:
    return Rows(np.concatenate([p.features for p in parts]), np.concatenate([p.status for p in parts]))


def _shared(compute: Callable[[], dict[int, T]]) -> dict[int, T]:
    """What all ranks computed; every rank calls it, and ends when any fails."""
    own: dict[int, T] = {}
    told = None
    try:
        own = compute()
    except (UserError, NativeError, OSError) as error:
        told = str(error)
    except Exception as error:  # a mistake of ours, or memory: the others must not wait for this rank
        traceback.print_exc()
        told = f"{type(error).__name__}: {error}"
    shares: list[tuple[dict[int, T], str | None]] = dist.all_gather_object((own, told))
    for rank, (_, failure) in enumerate(shares):
        if failure is not None:
            raise UserError(f"rank {rank}: {failure}" if len(shares) > 1 else failure)
    return {number: rows for share, _ in shares for number, rows in share.items()}


def _in_order(rows: dict[int, T]) -> list[T]:
    return [rows[number] for number in sorted(rows)]


def _assembled(reader: _Reader, rows: Sequence[Rows]) -> Embedded:
    whole = _joined(rows) if rows else Rows(np.empty((0, 0), np.float32), np.empty(0, np.uint8))
    good = whole.status == Status.OK
    items = [item for (item, _), is_good in zip(reader.said, good.tolist(), strict=True) if is_good]
    return Embedded(
        whole.features[good],
        [item.key for item in items],
        [item.label for item in items],
        [text for item in items for text in item.texts],
        np.repeat(np.arange(len(items)), [len(item.texts) for item in items]),
        [source for item in items for source in item.sources],
        _rejects(reader, whole.status),
    )


def _rejects(reader: _Reader, status: NDArray[np.uint8]) -> list[Reject]:
    """Of reading and of decoding, in the set's order."""
    found = list(reader.rejects)
    bad = np.flatnonzero(status != Status.OK).tolist()
    found += [(at, _undecoded(reader, at, int(status[at]))) for at in bad]
    return [reject for _, reject in sorted(found, key=lambda entry: entry[0])]


def _undecoded(reader: _Reader, at: int, status: int) -> Reject:
    (item, where), why = reader.said[at], Status(status)
    return Reject(item.key, "image", native_code(why.name), status_sentence(why), where)


def _refuse_bad(image_set: ImageSet, rejects: Sequence[Reject], options: EmbedOptions) -> None:
    if len(rejects) <= options.bad_images:
        return
    first = "; ".join(f"{reject.key} ({reject.where}): {reject.message}" for reject in rejects[:SHOWN])
    more = f"; and {len(rejects) - SHOWN:,} more" if len(rejects) > SHOWN else ""
    raise UserError(
        f"{image_set.where}: {count_of(len(rejects), 'image')} cannot be used, {options.bad_images} may "
        f"(--bad-images): {first}{more}"
    )
