"""What a run saw at a step, or of a sample: made again by the loader's own code, straight where it stands.

Order, captions and crops are functions of the recipe and the data set: no step before is read.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import UserError
from engine.native import key_hashes
from loaders.batches import decode_sizes, read_keys
from loaders.loader import build_loader
from loaders.recipe.data import DataRecipe

# Samples whose keys are compared at a time.
KEYS_AT_ONCE = 1 << 16


@dataclass(frozen=True)
class Seen:
    """A sample as a run saw it.

    Attributes:
        step: global step, counted from 0 over the run; its loss has the same number in log.jsonl.
        slot: place in the global batch.
        image: uint8 [3, S, S]: the crop as the model got it, before normalisation.
        box: of the crop in the stored image: left, top, width, height in pixels.
        size: of the stored image: width, height.
        caption: text of the caption that was drawn, the `number`-th of its source.
        tokens: its ids, int64 [context], as the model got them.
        instead_of: key of the sample that this one stood in for because that one cannot be used, or None.
    """

    step: int
    epoch: int
    slot: int
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
    """An epoch in which a sample was not seen: it stands behind the last whole global batch."""

    epoch: int


class Replayer:
    """Answers for one recipe. `batch` is the global batch; `steps_per_epoch` and `total` are in steps."""

    def __init__(self, recipe: DataRecipe) -> None:
        """Open the data set as the run did, as one rank.

        Raises:
            UserError: when it is not the data set of the recipe.
        """
        config = replace(recipe.data, dtype="uint8", num_workers=0)
        loader = build_loader(config)
        maker = loader.maker
        self._maker, self._dataset, self.config = maker, loader.dataset, config
        self._order = loader.dataset.order()
        self.sources = loader.dataset.info.sources
        self.batch, self.samples = config.batch_size, len(self._order)
        whole, rest = divmod(self.samples, self.batch)
        self.steps_per_epoch = whole + (rest > 0 and not config.drop_last)
        if not self.steps_per_epoch:
            raise UserError(
                f"{config.local}: {self.samples} samples are no global batch of {self.batch}; "
                "give a smaller global_train_batch_size"
            )
        self.total = total_steps(recipe.max_duration, self.steps_per_epoch, self.batch)

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
        return self._make(epoch, step, np.arange(begin, end))

    def key(self, key: str) -> Iterator[Seen | LeftOut]:
        """Yield a sample as each epoch of the run saw it.

        Raises:
            UserError: when no sample has this key.
        """
        sample = self._find(key)
        for epoch in range(math.ceil(self.total / self.steps_per_epoch)):
            position = self._order.position(epoch, sample)
            within = position // self.batch
            step = epoch * self.steps_per_epoch + within
            if within >= self.steps_per_epoch or step >= self.total:
                yield LeftOut(epoch)
            else:
                yield self._make(epoch, step, np.array([position]))[0]

    def _make(self, epoch: int, step: int, positions: NDArray[np.int64]) -> list[Seen]:
        wanted = self._order.at(epoch, positions)
        made = self._maker.make([(epoch, sample) for sample in wanted.tolist()])
        held = self._dataset.read(made.samples)
        captions = held.column("captions")
        boxes = self._maker.boxes(epoch, held)
        sizes = np.stack(decode_sizes(held), axis=1)
        keys = read_keys(self._dataset.read(wanted))
        found = []
        for i, key in enumerate(made.batch["key"]):
            source = self._dataset.info.sources[int(made.batch["caption_source"][i])]
            number = int(made.caption[i])
            found.append(
                Seen(
                    step=step,
                    epoch=epoch,
                    slot=int(positions[i]) % self.batch,
                    key=key,
                    source=source,
                    number=number,
                    caption=json.loads(bytes(captions[i]))[source][number],
                    tokens=made.batch["text"][i].numpy(),
                    box=_integers(boxes[i]),
                    size=_integers(sizes[i]),
                    image=made.batch["image"][i].numpy(),
                    instead_of=keys[i] if made.samples[i] != wanted[i] else None,
                )
            )
        return found

    def _find(self, key: str) -> int:
        wanted = key_hashes([key.encode()])[0]
        for begin in range(0, self.samples, KEYS_AT_ONCE):
            numbers = np.arange(begin, min(begin + KEYS_AT_ONCE, self.samples))
            for number in np.flatnonzero(key_hashes(self._dataset.read(numbers).column("key")) == wanted):
                return begin + int(number)
        raise UserError(f"--key: no sample of {self.config.local} has the key {key!r}")


def total_steps(duration: str | None, steps_per_epoch: int, batch: int) -> int:
    """Return the steps of a run from its max_duration, as train.optim counts them.

    Raises:
        UserError: for no duration, or one in other units.
    """
    match = re.fullmatch(r"(\d+)(ep|ba|sp)", duration or "")
    if match is None:
        raise UserError(
            f"max_duration: {duration!r} given; expected a time such as 15ep, 20000ba or 1000000sp"
        )
    number = int(match[1])
    return {"ep": number * steps_per_epoch, "ba": number, "sp": math.ceil(number / batch)}[match[2]]


def _integers(values: NDArray[Any]) -> Any:
    return tuple(int(value) for value in values)
