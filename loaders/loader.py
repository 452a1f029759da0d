"""The training loader: `build_loader(DataConfig(...))` yields `{image, text, caption_source, key}`."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from streaming import StreamingDataLoader
from torch.utils.data import DataLoader

from engine.errors import UserError
from engine.nearest import nearest
from loaders.batches import Batch, BatchMaker, Care
from loaders.dali import DaliDecoder
from loaders.dali_pipeline import import_dali
from loaders.dataset import CaptionDataset, OrderOptions
from loaders.decoder import DECODERS, Decoder, NativeDecoder
from loaders.fetch import DEFAULT_DEADLINE_S, check_deadline
from loaders.images import CLIP_MEAN, CLIP_STD, ImageOptions
from loaders.metadata import DatasetInfo
from loaders.policy import BoundPolicy, CaptionPolicy
from loaders.prefetch import Prefetcher, begin_ahead, map_in_order, stand_back
from loaders.ramp import Ramp, check_weights
from loaders.recipe.strict import SettingError
from loaders.recipe.times import RunLength
from loaders.replacement import require_sample_hashes
from loaders.stale_memory import remove_stale_shared_memory
from loaders.streams import MixOptions, Place
from loaders.threads import default_threads
from loaders.walk import Row
from loaders.worker_signals import heed_own_rank_only


@dataclass(frozen=True)
class StreamConfig:
    """A data set of a mix.

    Attributes:
        local: its folder, or where `remote` is cached.
        remote: any store that Streaming knows, or None.
        weight: its share of every batch is this over the sum of all streams' weights.
        policy: which caption of a sample is used; None: `data.policy`.
    """

    local: str
    remote: str | None = None
    weight: float = 1.0
    policy: CaptionPolicy | None = None


@dataclass(frozen=True)
class DataConfig:
    """Everything about training data.

    Attributes:
        local: folder of the data set, or where `remote` is cached; none where there are `streams`.
        batch_size: samples per rank and step.
        remote: any store that Streaming knows (s3://, gs://, hf://, a folder, ...), or None.
        streams: data sets to mix, by name, in place of `local` and `remote` (docs/loader.md, Mixes).
        epoch_size: samples of an epoch of a mix; None: as many as its streams have together.
        ramp: weights that those of the streams move to over the run, or None.
        policy: which caption of a sample is used, unless its stream has a policy of its own.
        seed: of order, captions and crops.
        shuffle: whether to walk the samples in random order, another one each epoch.
        num_canonical_nodes: lanes of the order (docs/architecture.md); a multiple of the number of nodes lets
            each read its own shards. None: 1 to 64, by the size of the data set.
        cache_limit: most bytes (or "100gb") of shards kept in `local` when there is a remote.
        image_size: side of the model's input, pixels.
        scale: RandomResizedCrop's area range; open_clip's default for training.
        ratio: RandomResizedCrop's aspect range.
        decoder: `native` (our own core, on the CPU), or `dali` (NVIDIA DALI on this rank's GPU; in its CPU
            mode where there is none): the same samples, crops and captions, pixels close to the exact ones.
        dtype: `uint8` (the model normalises on its device), or `float32`, `bfloat16` or `float16`, normalised
            here.
        mean: per channel, of values in 0..1.
        std: per channel.
        pass_order: resize like Pillow 11 (horizontal first) or `pillow13`.
        transform: `exact` (open_clip's pixels), or `fast`: JPEG with subsampled chroma is resized before it
            becomes RGB (docs/decisions/0013).
        channels_last: whether images [B, 3, S, S] lie in memory as [B, S, S, 3].
        threads: decode threads in each process; 0 shares the cores among ranks and workers.
        nice: how far the threads and workers that make batches stand back for the training step: 0 not at
            all, 19 as far as Linux can (elsewhere of no effect on threads).
        num_workers: worker processes; 0 decodes in this process, ahead of the training step.
        prefetch: batches made ahead (per worker where there are workers).
        deadline: seconds in which a shard has to arrive from `remote`, all attempts together.
        bad_samples: largest share of a rank's samples that may be replaced by a neighbour because their image
            does not decode (at least 8 may); 0 stops at the first.
        check_samples: compare each sample with its `sample_hash` too; shards are checked whole in any case.
        drop_last: leave out a last batch that is not full; the contrastive loss wants full ones.
        tokenizer_fingerprint: of the tokenizer the model was built for; None accepts any.
        tokenizer_name: for the message when it is another one.
        max_duration: of the run as a Composer time ("15ep"), for ramps; None where it has none.
    """

    local: str | None = None
    batch_size: int = 0
    remote: str | None = None
    streams: Mapping[str, StreamConfig] = field(default_factory=dict)
    epoch_size: int | None = None
    ramp: Ramp | None = None
    policy: CaptionPolicy = field(default_factory=CaptionPolicy)
    seed: int = 0
    shuffle: bool = True
    num_canonical_nodes: int | None = None
    cache_limit: int | str | None = None
    image_size: int = 224
    scale: tuple[float, float] = (0.9, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    decoder: str = "native"
    dtype: str = "uint8"
    mean: tuple[float, float, float] = CLIP_MEAN
    std: tuple[float, float, float] = CLIP_STD
    pass_order: str = "pillow11"
    transform: str = "exact"
    channels_last: bool = False
    threads: int = 0
    nice: int = 10
    num_workers: int = 0
    prefetch: int = 2
    deadline: float = DEFAULT_DEADLINE_S
    bad_samples: float = 1e-4
    check_samples: bool = False
    drop_last: bool = True
    tokenizer_fingerprint: str | None = None
    tokenizer_name: str | None = None
    max_duration: str | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be.

        Raises:
            UserError: naming the field.
        """
        least = {"batch_size": 1, "image_size": 1, "threads": 0, "num_workers": 0, "prefetch": 1, "seed": 0}
        for name, minimum in least.items():
            if getattr(self, name) < minimum:
                raise UserError(f"data.{name}: {getattr(self, name)} given; expected at least {minimum}")
        check_deadline("data", self.deadline)
        if not 0 <= self.nice <= 19:
            raise UserError(f"data.nice: {self.nice} given; expected 0 to 19")
        if not 0 <= self.bad_samples <= 1:
            raise UserError(f"data.bad_samples: {self.bad_samples} given; expected a share from 0 to 1")
        self.image().check("data")
        self._check_decoder()
        if self.streams:
            self._check_mix()
            return
        if self.local is None:
            raise UserError("data.local: missing; give the folder of a data set, or data.streams")
        for name in ("epoch_size", "ramp"):
            if getattr(self, name) is not None:
                raise UserError(f"data.{name}: only for a mix (data.streams); leave it out for one data set")

    def _check_decoder(self) -> None:
        if self.decoder not in DECODERS:
            raise UserError(
                f"data.decoder: {self.decoder!r} given; expected {', '.join(DECODERS)}"
                + nearest(self.decoder, DECODERS)
            )
        if self.decoder == "dali" and self.num_workers:
            raise UserError(
                f"data.num_workers: {self.num_workers} given with decoder: dali; a pipeline on a GPU belongs "
                "to the training process: give 0 (batches are made ahead there all the same)"
            )

    def _check_mix(self) -> None:
        for name in ("local", "remote"):
            if getattr(self, name) is not None:
                raise UserError(f"data.{name}: cannot be given beside data.streams, which have their own")
        if not self.drop_last:
            raise UserError("data.drop_last: false given; a mix has no end, every batch of it is full")
        if self.epoch_size is not None and self.epoch_size < 1:
            raise UserError(f"data.epoch_size: {self.epoch_size} given; expected at least 1")
        try:
            check_weights("weight", {name: stream.weight for name, stream in self.streams.items()})
        except SettingError as error:
            raise UserError(f"data.streams: {error}") from error

    def places(self) -> tuple[Place, ...]:
        """Return where the data sets are: one, or those of a mix."""
        if self.local is not None:
            return (Place(self.local, self.remote),)
        return tuple(Place(stream.local, stream.remote, name) for name, stream in self.streams.items())

    def _mix(self) -> MixOptions | None:
        weights = tuple(stream.weight for stream in self.streams.values())
        return MixOptions(weights, self.ramp, self.epoch_size, self.max_duration) if weights else None

    def order(self) -> OrderOptions:
        """Return the part that decides which samples come when."""
        return OrderOptions(
            places=self.places(),
            batch_size=self.batch_size,
            mix=self._mix(),
            shuffle=self.shuffle,
            shuffle_seed=self.seed,
            num_canonical_nodes=self.num_canonical_nodes,
            cache_limit=self.cache_limit,
            deadline=self.deadline,
            drop_last=self.drop_last,
        )

    def image(self) -> ImageOptions:
        """Return the part that decides how images become a tensor."""
        return ImageOptions(
            self.image_size,
            self.dtype,
            self.mean,
            self.std,
            self.scale,
            self.ratio,
            self.pass_order,
            self.transform,
            self.channels_last,
        )


# One decodes while the other reads and chooses captions; the decode threads are one pool, taken in turns.
MADE_AT_ONCE = 2


class CaptionLoader(StreamingDataLoader):
    """StreamingDataLoader that works ahead, and counts for its state only the batches it has handed out."""

    dataset: CaptionDataset

    def __init__(self, maker: BatchMaker, config: DataConfig) -> None:
        """Start nothing yet; iterating does."""
        workers: dict[str, Any] = {}
        if config.num_workers:
            workers = {
                "persistent_workers": True,
                "prefetch_factor": config.prefetch,
                "worker_init_fn": partial(_begin_worker, config.nice),
            }
        super().__init__(
            maker.dataset,
            batch_size=config.batch_size,
            num_workers=config.num_workers,
            # In this process the batch is made in threads of its own, not where Streaming is walked.
            collate_fn=maker if config.num_workers else list,
            drop_last=config.drop_last,
            # Else the rows, which are numbers, would be walked; the maker pins what it makes.
            pin_memory=bool(config.num_workers) and torch.cuda.is_available(),
            # Its own generator: torch seeds its workers from the global one, and the model's draws would
            # shift.
            generator=torch.Generator().manual_seed(config.seed),
            **workers,
        )
        self.maker, self._ahead, self._nice = maker, config.prefetch, config.nice
        self._dali = config.decoder == "dali"
        self._prefetcher: Prefetcher[Batch] | None = None

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]
        """Yield the batches of an epoch, or of what is left of it after `load_state_dict`."""
        if self._prefetcher is not None:  # an iteration that was given up
            self._prefetcher.close()
        self.num_samples_yielded = 0
        self.dataset.handed_out = False
        for batch in self._batches():
            self.num_samples_yielded += len(batch["key"])
            self.dataset.handed_out = True
            if batch["image"].is_cuda:  # filled on a stream of its own; its memory waits for the reader's
                batch["image"].record_stream(torch.cuda.current_stream(batch["image"].device))
            yield batch
        self.dataset.handed_out = True

    def _batches(self) -> Iterator[Batch]:
        if self.num_workers:
            batches: Iterator[Batch] = DataLoader.__iter__(self)
            return batches
        rows = DataLoader.__iter__(self)
        made = self._made_by_dali(rows) if self._dali else map_in_order(self.maker, rows, MADE_AT_ONCE)
        self._prefetcher = Prefetcher(made, self._ahead, self.dataset.stop, self._nice)
        return iter(self._prefetcher)

    def _made_by_dali(self, rows: Iterator[list[Row]]) -> Generator[Batch, None, None]:
        """Yield batches, all made in the thread that asks: a pipeline belongs to one."""
        try:
            for made in begin_ahead(self.maker.begin, self.maker.finish, rows):
                yield made.batch
        finally:
            self.maker.decoder.drop()


def _begin_worker(nice: int, worker: int) -> None:
    heed_own_rank_only()
    stand_back(nice)


def build_loader(config: DataConfig) -> CaptionLoader:
    """Open a data set for training.

    Args:
        config: what to read and how; every rank gives the same.

    Returns:
        A loader of `Batch` dicts that Composer can save and resume (`state_dict`, `load_state_dict`).

    Raises:
        UserError: when the data set is not one, lacks what the policy asks for, or has another tokenizer.
    """
    if config.decoder == "dali":
        import_dali()  # before anything is opened
    return loader_over(open_dataset(config), config)


def open_dataset(config: DataConfig) -> CaptionDataset:
    """Open a data set for one loader after the other (`loader_over`).

    Raises:
        UserError: when it is not one, or has another tokenizer.
    """
    remove_stale_shared_memory()
    dataset = CaptionDataset(config.order())
    for place, info in zip(config.places(), dataset.infos, strict=True):
        check_tokenizer(place.local, info, config.tokenizer_fingerprint, config.tokenizer_name)
    if config.check_samples:
        require_sample_hashes(dataset)
    return dataset


def loader_over(dataset: CaptionDataset, config: DataConfig) -> CaptionLoader:
    """Return a loader over a data set that was opened with the same settings, but for how batches are made.

    One loader at a time; all of them with workers, or all without: Streaming's threads, once they run in this
    process, do not exist in those that it forks.

    Raises:
        UserError: when the data set lacks what the policy asks for.
    """
    policies = _policies(config, dataset)
    decoder = _decoder(config, dataset)
    care = Care(config.bad_samples, config.check_samples)
    return CaptionLoader(BatchMaker(dataset, policies, config.image(), config.seed, decoder, care), config)


def _decoder(config: DataConfig, dataset: CaptionDataset) -> Decoder:
    threads = config.threads or default_threads(config.num_workers)
    native = NativeDecoder(config.image(), threads, dataset.counters)
    if config.decoder == "native":
        return native
    return DaliDecoder(config.image(), threads, native, dataset.counters)


def _policies(config: DataConfig, dataset: CaptionDataset) -> list[BoundPolicy]:
    """Bind the policy of each stream, in their order."""
    run = RunLength(dataset.global_batch, dataset.steps_per_epoch, config.max_duration)
    if not config.streams:
        (info,) = dataset.infos
        return [config.policy.bind(info.sources, info.has_scores, "data.policy", run)]
    return [
        _bind_stream(config, name, info, run)
        for name, info in zip(config.streams, dataset.infos, strict=True)
    ]


def _bind_stream(config: DataConfig, name: str, info: DatasetInfo, run: RunLength) -> BoundPolicy:
    own = config.streams[name].policy
    if own is not None:
        return own.bind(info.sources, info.has_scores, f"data.streams.{name}.policy", run)
    try:
        return config.policy.bind(info.sources, info.has_scores, "data.policy", run)
    except UserError as error:  # the policy of all does not fit this one
        raise UserError(f"stream {name}: {error}") from error


def check_tokenizer(folder: str, info: DatasetInfo, fingerprint: str | None, name: str | None) -> None:
    """Refuse token ids that the model would read as other words.

    Raises:
        UserError: naming both tokenizers.
    """
    if fingerprint is not None and fingerprint != info.tokenizer_fingerprint:
        raise UserError(
            f"{folder}: tokenized with {info.tokenizer_name} ({info.tokenizer_fingerprint[:12]}), but the "
            f"model wants {name or 'another one'} ({fingerprint[:12]}); shard the data with the model's "
            "tokenizer, or choose a model that reads this one"
        )
