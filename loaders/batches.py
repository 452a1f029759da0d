"""From sample numbers to a batch: one gather, one caption choice, one set of boxes, one native decode."""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, TypedDict

import numpy as np
import torch
from numpy.typing import NDArray

from engine.draws import caption_words
from engine.errors import UserError
from engine.native import (
    SampleBatch,
    Status,
    ThreadPool,
    crop_boxes,
    key_hashes,
    status_sentence,
    train_batch,
)
from engine.nearest import nearest
from loaders.buffers import Buffers
from loaders.captions import CaptionTokens
from loaders.columns import Ragged, decode_arrays, decode_int32, decode_strings
from loaders.dataset import CaptionDataset
from loaders.parts import Part, split
from loaders.policy import BoundPolicy, MissingCaptionError, choose
from loaders.replacement import Replacer, wrong_hashes
from loaders.walk import Row

# CLIP's (openai/CLIP, clip.py): the means and deviations of its own training images, RGB in 0..1.
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
DTYPES = {"uint8": torch.uint8, "float32": torch.float32, "bfloat16": torch.bfloat16}
PASS_ORDERS = ("pillow11", "pillow13")
TRANSFORMS = ("exact", "fast")
# One being made, some waiting, one or two with the trainer; memory that is never needed is never touched.
KEPT_BATCHES = 4


class Batch(TypedDict):
    """What a training loader yields.

    image: [B, 3, S, S], uint8, or float32 or bfloat16 normalised; text: int64 [B, context], padded;
    caption_source: int64 [B], index in dataset.json's sources (of a mix: in those of all streams,
    `loader.dataset.info.sources`); stream: int64 [B], index in `loader.dataset.stream_names`; key: B strings.
    """

    image: torch.Tensor
    text: torch.Tensor
    caption_source: torch.Tensor
    stream: torch.Tensor
    key: list[str]


@dataclass(frozen=True)
class ImageOptions:
    """How images become a tensor: side in pixels, element type, normalisation, RandomResizedCrop's ranges."""

    size: int = 224
    dtype: str = "uint8"
    mean: tuple[float, float, float] = CLIP_MEAN
    std: tuple[float, float, float] = CLIP_STD
    scale: tuple[float, float] = (0.9, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    pass_order: str = "pillow11"
    transform: str = "exact"

    def check(self, section: str) -> None:
        """Refuse what no image could be made with; `section` of the recipe stands in the message.

        Raises:
            UserError: for an unknown dtype, pass order or transform, or an impossible range or deviation.
        """
        for name, given, known in (
            ("dtype", self.dtype, list(DTYPES)),
            ("pass_order", self.pass_order, PASS_ORDERS),
            ("transform", self.transform, TRANSFORMS),
        ):
            if given not in known:
                raise UserError(
                    f"{section}.{name}: {given!r} given; expected {', '.join(known)}{nearest(given, known)}"
                )
        for name, (low, high) in (("scale", self.scale), ("ratio", self.ratio)):
            if not 0 < low <= high < math.inf:
                raise UserError(f"{section}.{name}: {low}, {high} given; expected 0 < low <= high")
        if not all(0 < std < math.inf for std in self.std):
            raise UserError(f"{section}.std: {self.std} given; expected three numbers above 0")

    def native(self) -> dict[str, Any]:
        """Return the keyword arguments of the native batch calls."""
        return {"dtype": self.dtype, "mean": self.mean, "std": self.std, "pass_order": self.pass_order}


class Made(NamedTuple):
    """A batch and what it was made from.

    samples: int64 [B], their numbers, after bad samples were replaced; caption: int64 [B], the number of each
    chosen caption within its source.
    """

    batch: Batch
    samples: NDArray[np.int64]
    caption: NDArray[np.int64]


@dataclass(frozen=True)
class Care:
    """What is looked for in samples, and how much of it is borne (see `DataConfig`)."""

    bad_samples: float = 1e-4
    check_samples: bool = False


class Drawn(NamedTuple):
    """What was drawn for a part of a batch.

    samples: int64 [N], as in `Made`; text: int64 [N, context]; source: int64 [N], of the union; caption:
    int64 [N]; keys: N strings.
    """

    samples: NDArray[np.int64]
    text: NDArray[np.int64]
    source: NDArray[np.int64]
    caption: NDArray[np.int64]
    keys: list[str]


class BatchMaker:
    """Makes training batches from the rows of a `CaptionDataset`.

    Several threads may call it: reading shards goes one at a time, decoding takes turns in one pool.

    A caption and a crop are functions of seed, epoch and key alone: threads, workers, ranks and the batch
    that a sample falls into make no difference.
    """

    def __init__(
        self,
        dataset: CaptionDataset,
        policies: Sequence[BoundPolicy],
        image: ImageOptions,
        seed: int,
        threads: int,
        care: Care = Care(),
    ) -> None:
        """Start no threads yet: a loader's worker processes start their own; a policy for each stream."""
        self.dataset, self.policies, self.image, self.seed = dataset, policies, image, seed
        every = dataset.info.sources
        self._union = [np.array([every.index(name) for name in policy.sources]) for policy in policies]
        self._threads, self._care = threads, care
        self._replacer = Replacer(dataset, care.bad_samples)
        self._own()

    def _own(self) -> None:
        """Make what belongs to one process."""
        self._pool: ThreadPool | None = None
        self._buffers = Buffers(KEPT_BATCHES)
        self._reading, self._decoding = threading.RLock(), threading.Lock()
        self._starting = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        """Leave threads and memory behind when pickled."""
        own = ("_pool", "_buffers", "_reading", "_decoding", "_starting")
        return {name: value for name, value in self.__dict__.items() if name not in own}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Start with threads and memory of its own."""
        self.__dict__.update(state)
        self._own()

    @property
    def pool(self) -> ThreadPool:
        """The decode threads, started on first use."""
        with self._starting:  # not `_reading`, which is held while a shard is fetched
            if self._pool is None:
                self._pool = ThreadPool(self._threads)
            return self._pool

    def __call__(self, rows: Sequence[Row]) -> Batch:
        """Assemble a batch; see `make`."""
        return self.make(rows).batch

    def make(self, rows: Sequence[Row]) -> Made:
        """Assemble a batch from rows of one step.

        Raises:
            UserError: for a sample without a caption the policy accepts, or more bad samples than allowed.
        """
        image = empty_images(len(rows), self.image, self._buffers)
        parts = split(rows, self.dataset.stream_ends)
        drawn = [self._make_part(part, image[part.where]) for part in parts]
        samples, text, source, caption = (np.concatenate([own[i] for own in drawn]) for i in range(4))
        streams = np.repeat([part.stream for part in parts], [len(part.samples) for part in parts])
        batch = Batch(
            image=image,
            text=self._pinned(torch.from_numpy(text)),
            caption_source=torch.from_numpy(source),
            stream=torch.from_numpy(streams),
            key=[key for own in drawn for key in own.keys],
        )
        return Made(batch, samples, caption)

    def _make_part(self, part: Part, image: torch.Tensor) -> Drawn:
        """Decode a part's images into `image` [N, 3, S, S] and draw its captions."""
        counters = self.dataset.counters
        numbers = part.samples
        with self._reading:
            samples = self.dataset.read(numbers)
        counters.add(samples=len(numbers), bytes_read=samples.nbytes)
        boxes = self.boxes(part.epoch, samples)  # before one's turn comes: while it lasts nobody else decodes
        decode = partial(self._decode, part.stream)
        with self._decoding, counters.timed("decode_us"):  # the wait for one's turn is no decoding
            status = decode(samples, boxes, as_numpy(image))
            if status.any():
                with self._reading:
                    again = partial(self._decode_again, part)
                    numbers = self._replacer.replace(numbers, status, as_numpy(image), again)
                    samples = self.dataset.read(numbers)
        with counters.timed("captions_us"):
            return Drawn(numbers, *self._captions(samples, part))

    def boxes(self, epoch: int, samples: SampleBatch) -> NDArray[np.int32]:
        """Return the crops int32 [N, 4] of samples in an epoch: left, top, width, height."""
        return crop_boxes(
            *decode_sizes(samples),
            key_hashes(samples.column("key")),
            seed=self.seed,
            epoch=epoch,
            scale=self.image.scale,
            ratio=self.image.ratio,
        )

    def _captions(
        self, samples: SampleBatch, part: Part
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], list[str]]:
        """Return ids [N, context], source [N], number within it [N] and keys."""
        hashes = key_hashes(samples.column("key"))
        keys = read_keys(samples)
        policy = self.policies[part.stream].at(part.step)
        tokens = read_tokens(samples, len(policy.sources))
        scores = None
        if policy.within == "hcs":
            scores = read_array(samples, "scores", np.float32).padded(tokens.lengths.shape[1], np.nan)
        words = caption_words(hashes, seed=self.seed, epoch=part.epoch)
        try:
            source, caption = choose(policy, tokens.counts, scores, words)
        except MissingCaptionError as error:
            raise UserError(f"sample {keys[error.row]!r}: {error}") from error
        info = self.dataset.info
        text = tokens.padded_text(
            np.arange(len(keys)), tokens.positions(source, caption), info.context_length, info.pad_id
        )
        return text, self._union[part.stream][source], caption, keys

    def _pinned(self, text: torch.Tensor) -> torch.Tensor:
        beside_gpu = torch.cuda.is_available() and torch.utils.data.get_worker_info() is None
        return text.pin_memory() if beside_gpu else text

    def _decode_again(self, part: Part, samples: SampleBatch, image: NDArray[Any]) -> NDArray[np.uint8]:
        return self._decode(part.stream, samples, self.boxes(part.epoch, samples), image)

    def _decode(
        self, stream: int, samples: SampleBatch, boxes: NDArray[np.int32], image: NDArray[Any]
    ) -> NDArray[np.uint8]:
        """Fill `image` [N, 3, S, S] from crops [N, 4]; return the status uint8 [N] of each sample."""
        status = train_batch(
            samples.column("image"),
            boxes,
            image,
            self.pool,
            limits=self.dataset.infos[stream].limits(),
            transform=self.image.transform,
            **self.image.native(),
        )
        if self._care.check_samples:
            status[wrong_hashes(samples)] = Status.BAD_SHARD
        return status


def read_array(samples: SampleBatch, name: str, dtype: Any) -> Ragged:
    """Read a one-dimensional array column of a batch."""
    return decode_arrays(name, samples.column(name), dtype)


def decode_sizes(samples: SampleBatch) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Read the widths [N] and heights [N] of a batch's stored images."""
    width, height = (decode_int32(samples.column(name).concat()[0]) for name in ("width", "height"))
    return width, height


def read_keys(samples: SampleBatch) -> list[str]:
    """Read the keys of a batch."""
    return decode_strings(*samples.column("key").concat())


def read_tokens(samples: SampleBatch, sources: int) -> CaptionTokens:
    """Read the token columns of a batch."""
    tokens, counts, lengths = (
        read_array(samples, name, np.uint16) for name in ("tokens", "caption_counts", "token_lengths")
    )
    return CaptionTokens.build(tokens, counts, lengths, sources)


def empty_images(count: int, options: ImageOptions, buffers: Buffers) -> torch.Tensor:
    """Return memory for `count` images where the trainer wants it.

    In a worker process: shared memory, so that the batch reaches the main process without a copy. Beside a
    GPU: pinned memory, which torch's host allocator reuses. Else a block of `buffers`.
    """
    shape = (count, 3, options.size, options.size)
    dtype = DTYPES[options.dtype]
    size = count * 3 * options.size**2 * dtype.itemsize
    if torch.utils.data.get_worker_info() is None:
        if torch.cuda.is_available():
            return torch.empty(shape, dtype=dtype, pin_memory=True)
        return buffers.take(size).view(dtype).view(shape)
    shared = torch.UntypedStorage._new_shared(size)  # type: ignore[no-untyped-call]  # what torch's own collate uses
    return torch.empty(0, dtype=dtype).set_(shared).view(shape)


def as_numpy(image: torch.Tensor) -> NDArray[Any]:
    """View a tensor as the array that the native calls fill; bfloat16 as its uint16 bit patterns."""
    if image.dtype == torch.bfloat16:
        bits: NDArray[Any] = image.view(torch.int16).numpy().view(np.uint16)
        return bits
    array: NDArray[Any] = image.numpy()
    return array


def refuse_undecoded(status: NDArray[np.uint8], keys: Sequence[str]) -> None:
    """Stop at images that do not decode: `engine.shard` decodes every one, unless told to check headers only.

    Raises:
        UserError: naming the first few keys and their status.
    """
    bad = np.flatnonzero(status)
    if len(bad):
        named = "; ".join(f"{keys[i]!r}: {status_sentence(Status(int(status[i])))}" for i in bad[:3])
        raise UserError(
            f"{len(bad)} of {len(keys)} images of a batch do not decode ({named}); "
            "check the data set with python -m engine.verify (one made with --check header was never decoded)"
        )


def default_threads(num_workers: int) -> int:
    """Share this node's cores among its ranks (torchrun's LOCAL_WORLD_SIZE) and their worker processes."""
    ranks = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    # A container often may use fewer cores than the machine has; macOS cannot say.
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // (ranks * max(1, num_workers)))
