"""What a run saw at a step, or of a sample: made again by the loader's own code, straight where it stands.

Order, captions and crops are functions of the recipe and the data set: no step before is read.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import UserError
from engine.native import key_hashes
from loaders.batches import Made, decode_sizes, read_keys
from loaders.loader import DataConfig, build_loader
from loaders.order import Order, Rows
from loaders.parts import Part, split
from loaders.recipe.times import RunLength

# Samples whose keys are compared at a time.
KEYS_AT_ONCE = 1 << 16


@dataclass(frozen=True)
class Seen:
    """A sample as a run saw it.

    Attributes:
        step: global step, counted from 0 over the run; its loss has the same number in log.jsonl.
        epoch: of the run; in a mix, of the sample's stream.
        slot: place in the global batch.
        stream: name of the sample's stream; "" where there is no mix.
        image: uint8 [3, S, S]: the crop as the model got it, before normalisation (with `decoder: dali`, if
            DALI runs on the same kind of device).
        box: of the crop in the stored image: left, top, width, height in pixels.
        size: of the stored image: width, height.
        caption: text of the caption that was drawn, the `number`-th of its source.
        tokens: its ids, int64 [context], as the model got them.
        instead_of: key of the sample that this one stood in for because that one cannot be used, or None.
    """

    step: int
    epoch: int
    slot: int
    stream: str
    key: str
    source: str
    number: int
    caption: str
    tokens: NDArray[np.int64]
    box: tuple[int, int, int, int]
    size: tuple[int, int]
    image: NDArray[np.uint8]
    instead_of: str | None


@dataclass(frozen=True)
class LeftOut:
    """An epoch, as in `Seen`, in which a sample was not seen.

    It stands behind the run's end, or behind the last whole global batch of an epoch (not in a mix).
    """

    epoch: int
    stream: str


class Replayer:
    """Answers for one recipe. `batch` is the global batch; `steps_per_epoch` and `total` are in steps."""

    def __init__(self, recipe: DataConfig) -> None:
        """Open the data set as the run did, as one rank; `recipe` is `read_data_recipe`'s.

        Raises:
            UserError: when it is not the data set of the recipe.
        """
        config = replace(recipe, dtype="uint8", num_workers=0)
        loader = build_loader(config)
        maker = loader.maker
        self._maker, self._dataset, self.config = maker, loader.dataset, config
        self._order = loader.dataset.order()
        self.sources, self.streams = loader.dataset.info.sources, loader.dataset.stream_names
        self.where = ", ".join(place.local for place in config.places())
        self.batch, self.samples = config.batch_size, len(self._order)
        self.steps_per_epoch = loader.dataset.steps_per_epoch
        if not self.steps_per_epoch:
            raise UserError(
                f"{self.where}: {self.samples} samples are no global batch of {self.batch}; "
                "give a smaller global_train_batch_size"
            )
        self.total = RunLength(self.batch, self.steps_per_epoch, recipe.max_duration).total

    def step(self, step: int, most: int | None = None) -> list[Seen]:
        """Return the global batch of a step, or its first `most` slots.

        Raises:
            UserError: for a step that the run does not have.
        """
        if not 0 <= step < self.total:
            raise UserError(f"--step: {step} given; this run has steps 0 to {self.total - 1}")
        epoch, within = divmod(step, self.steps_per_epoch)
        begin = within * self.batch
        end = min(begin + min(self.batch, most or self.batch), self.samples)
        return self._make(step, 0, self._order.rows(epoch, np.arange(begin, end)))

    def key(self, key: str) -> Iterator[Seen | LeftOut]:
        """Yield a sample as each epoch of the run, or of its stream, saw it.

        Raises:
            UserError: when no sample has this key.
        """
        found = False
        for number, stream in enumerate(self.streams):
            sample = self._find(number, key)
            if sample is None:
                continue
            found = True
            for epoch, place in self._places(number, sample):
                if place is None:
                    yield LeftOut(epoch, stream)
                else:
                    step, slot = place
                    yield self._make(step, slot, Rows(np.array([sample]), np.array([epoch])))[0]
        if not found:
            raise UserError(f"--key: no sample of {self.where} has the key {key!r}")

    def _places(self, stream: int, sample: int) -> Iterator[tuple[int, tuple[int, int] | None]]:
        """Yield each epoch that a sample might be seen in, with its step and slot if it was."""
        if isinstance(self._order, Order):
            for epoch in range(-(-self.total // self.steps_per_epoch)):
                within, slot = divmod(self._order.position(epoch, sample), self.batch)
                step = epoch * self.steps_per_epoch + within
                seen = within < self.steps_per_epoch and step < self.total
                yield epoch, (step, slot) if seen else None
            return
        epoch, begun = 0, int(self._order.before(self.total)[stream])
        while epoch * self._order.sizes[stream] < begun:
            yield epoch, self._order.find(stream, sample, epoch, self.total)
            epoch += 1

    def _make(self, step: int, slot: int, wanted: Rows) -> list[Seen]:
        """Make rows of a step, which stand in its slots from `slot` on."""
        samples, epochs = wanted
        rows = [(step, *row) for row in zip(epochs.tolist(), samples.tolist(), strict=True)]
        made = self._maker.make(rows)
        parts = split(rows, self._dataset.stream_ends)
        return [seen for part in parts for seen in self._of_part(part, made, slot)]

    def _of_part(self, part: Part, made: Made, first_slot: int) -> Iterator[Seen]:
        samples = made.samples[part.where]
        held = self._dataset.read(samples)
        captions = held.column("captions")
        boxes = self._maker.boxes(part.epoch, held)
        sizes = np.stack(decode_sizes(held), axis=1)
        keys = read_keys(self._dataset.read(part.samples))
        for i, sample in enumerate(samples):
            row = part.where.start + i
            source = self.sources[int(made.batch["caption_source"][row])]
            number = int(made.caption[row])
            yield Seen(
                step=part.step,
                epoch=part.epoch,
                slot=first_slot + row,
                stream=self.streams[part.stream],
                key=made.batch["key"][row],
                source=source,
                number=number,
                caption=json.loads(bytes(captions[i]))[source][number],
                tokens=made.batch["text"][row].numpy(),
                box=_integers(boxes[i]),
                size=_integers(sizes[i]),
                image=made.batch["image"][row].cpu().numpy(),
                instead_of=keys[i] if sample != part.samples[i] else None,
            )

    def _find(self, stream: int, key: str) -> int | None:
        """Return the number of a stream's first sample with a key."""
        wanted = key_hashes([key.encode()])[0]
        end = int(self._dataset.stream_ends[stream])
        begin = end - int(self._dataset.samples_per_stream[stream])
        for first in range(begin, end, KEYS_AT_ONCE):
            numbers = np.arange(first, min(first + KEYS_AT_ONCE, end))
            for number in np.flatnonzero(key_hashes(self._dataset.read(numbers).column("key")) == wanted):
                return first + int(number)
        return None


def _integers(values: NDArray[Any]) -> Any:
    return tuple(int(value) for value in values)
