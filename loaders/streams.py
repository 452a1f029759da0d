"""The data sets that a loader reads together: one, or the streams of a mix."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from engine.errors import UserError
from engine.native import xxh3_64
from loaders import mix
from loaders.counters import Counters
from loaders.fetch import Fetcher
from loaders.metadata import DatasetInfo, load_info
from loaders.order import Order
from loaders.ramp import Names, Ramp, Weights, bind_ramp
from loaders.recipe.times import RunLength


@dataclass(frozen=True)
class Place:
    """A data set: its folder, or where `remote` is cached; `name` is the stream's in the recipe."""

    local: str
    remote: str | None = None
    name: str = ""


@dataclass(frozen=True)
class MixOptions:
    """How much of each stream.

    Attributes:
        weights: of the streams, in their order.
        ramp: other weights that these move to, or None.
        epoch_size: samples of an epoch of the run; None: as many as all streams have together.
        max_duration: of the run, for a ramp.
    """

    weights: tuple[float, ...]
    ramp: Ramp | None = None
    epoch_size: int | None = None
    max_duration: str | None = None


@dataclass(frozen=True)
class Shared:
    """A mix in steps: the weights of its streams over the run, and how the run counts."""

    weights: Weights
    run: RunLength

    def order(self, orders: Sequence[Order]) -> mix.Mix:
        """Return the order of the mix from those of its streams."""
        return mix.Mix(orders, self.weights, self.run.batch, self.run.steps_per_epoch)

    def fingerprint(self, lines: object) -> str:
        """Return a hash of what decides which sample stands where: of the mix, and of its streams' `lines`.

        Not of the seed: a state carries it, and who goes on from there walks by it.
        """
        text = repr((mix.NAME, self.weights, self.run.batch, self.run.steps_per_epoch, lines))
        return f"{xxh3_64(text.encode()):016x}"


def open_places(
    places: Sequence[Place], deadline_s: float, counters: Counters
) -> tuple[list[Fetcher], list[DatasetInfo]]:
    """Return what fetches each data set, and its dataset.json.

    Raises:
        UserError: when one is not a finished data set of `engine.shard`, or two are in one folder.
    """
    _refuse_one_folder(places)
    fetchers = [
        Fetcher(Path(place.local), _distinct_remote(place.local, place.remote), deadline_s, counters)
        for place in places
    ]
    return fetchers, [load_info(fetcher) for fetcher in fetchers]


def share_out(options: MixOptions, places: Sequence[Place], samples: Sequence[int], batch: int) -> Shared:
    """Resolve a mix for streams of so many `samples` and a global batch of `batch`.

    Raises:
        UserError: when an epoch is no batch at all, or the ramp does not fit.
    """
    size = sum(samples) if options.epoch_size is None else options.epoch_size
    if size < batch:
        setting = "the streams have" if options.epoch_size is None else "data.epoch_size:"
        raise UserError(
            f"{setting} {size:,} samples, less than global_train_batch_size ({batch:,}); an epoch has to "
            "have at least one batch"
        )
    run = RunLength(batch, size // batch, options.max_duration)
    names = Names("stream", "this recipe", tuple(place.name for place in places))
    return Shared(bind_ramp(options.weights, options.ramp, names, run, "data.ramp"), run)


def merged(places: Sequence[Place], infos: Sequence[DatasetInfo]) -> DatasetInfo:
    """Return what a reader of all data sets needs: the caption sources of all, the widest limits.

    Raises:
        UserError: when they were tokenized differently.
    """
    first = infos[0]
    for place, info in zip(places, infos, strict=True):
        for what in ("tokenizer_fingerprint", "context_length", "pad_id"):
            if getattr(info, what) != getattr(first, what):
                raise UserError(
                    f"data.streams.{place.name}: {what} {getattr(info, what)} ({info.tokenizer_name}), but "
                    f"{places[0].name} has {getattr(first, what)} ({first.tokenizer_name}); shard both with "
                    "the same --tokenizer and --context-length"
                )
    return replace(
        first,
        sources=tuple(dict.fromkeys(source for info in infos for source in info.sources)),
        has_scores=any(info.has_scores for info in infos),
        samples=sum(info.samples for info in infos),
        max_pixels=max(info.max_pixels for info in infos),
        max_side=max(info.max_side for info in infos),
        max_image_bytes=max(info.max_image_bytes for info in infos),
    )


def _refuse_one_folder(places: Sequence[Place]) -> None:
    seen: dict[str, Place] = {}
    for place in places:
        other = seen.setdefault(os.path.realpath(place.local), place)
        if other is not place:
            raise UserError(
                f"data.streams.{place.name}.local: {place.local} is the folder of stream {other.name} too; "
                "give each its own, or leave one out and give the other both weights"
            )


def _distinct_remote(local: str, remote: str | None) -> str | None:
    """Take a remote that is the local folder for none: its shards have no copy to replace a damaged one."""
    if remote is not None and "://" not in remote and os.path.realpath(remote) == os.path.realpath(local):
        return None
    return remote or None
