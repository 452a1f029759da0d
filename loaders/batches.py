"""From sample numbers to a batch: one gather, one caption choice, one set of boxes, one native decode."""

from __future__ import annotations

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
    crop_boxes,
    key_hashes,
)
from loaders.captions import CaptionTokens
from loaders.columns import Ragged, decode_arrays, decode_int32, decode_strings
from loaders.dataset import CaptionDataset
from loaders.decoder import Decoder, Pending, Work
from loaders.images import ImageOptions
from loaders.parts import Part, split
from loaders.policy import BoundPolicy, MissingCaptionError, choose
from loaders.replacement import Replacer, wrong_hashes
from loaders.walk import Row


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


class Begun(NamedTuple):
    """A batch whose images may be on their way into `image`."""

    image: torch.Tensor
    parts: list[BegunPart]


class BegunPart(NamedTuple):
    """The read samples of a part, and their images being decoded."""

    part: Part
    samples: SampleBatch
    decoding: Pending


class BatchMaker:
    """Makes training batches from the rows of a `CaptionDataset`.

    Several threads may call it where its decoder allows that: reading shards goes one at a time.

    A caption and a crop are functions of seed, epoch and key alone: threads, workers, ranks and the batch
    that a sample falls into make no difference.
    """

    def __init__(
        self,
        dataset: CaptionDataset,
        policies: Sequence[BoundPolicy],
        image: ImageOptions,
        seed: int,
        decoder: Decoder,
        care: Care = Care(),
    ) -> None:
        """Read nothing yet; a policy for each stream."""
        self.dataset, self.policies, self.image, self.seed = dataset, policies, image, seed
        self.decoder = decoder
        every = dataset.info.sources
        self._union = [np.array([every.index(name) for name in policy.sources]) for policy in policies]
        self._care = care
        self._replacer = Replacer(dataset, care.bad_samples)
        self._own()

    def _own(self) -> None:
        """Make what belongs to one process."""
        self._reading = threading.RLock()

    def __getstate__(self) -> dict[str, Any]:
        """Leave the lock behind when pickled."""
        return {name: value for name, value in self.__dict__.items() if name != "_reading"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Start with a lock of its own."""
        self.__dict__.update(state)
        self._own()

    def __call__(self, rows: Sequence[Row]) -> Batch:
        """Assemble a batch; see `make`."""
        return self.make(rows).batch

    def make(self, rows: Sequence[Row]) -> Made:
        """Assemble a batch from rows of one step.

        Raises:
            UserError: for a sample without a caption the policy accepts, or more bad samples than allowed.
        """
        return self.finish(self.begin(rows))

    def begin(self, rows: Sequence[Row]) -> Begun:
        """Read the samples of a batch and hand their images to the decoder; `finish` them in this order."""
        image = self.decoder.empty(len(rows))
        parts = split(rows, self.dataset.stream_ends)
        return Begun(image, [self._begin_part(part, image[part.where]) for part in parts])

    def _begin_part(self, part: Part, image: torch.Tensor) -> BegunPart:
        with self._reading:
            samples = self.dataset.read(part.samples)
        return BegunPart(part, samples, self.decoder.start(self._work(part, samples, image)))

    def _work(self, part: Part, samples: SampleBatch, image: torch.Tensor) -> Work:
        limits = self.dataset.infos[part.stream].limits()
        boxes, sizes = self.boxes(part.epoch, samples), np.stack(decode_sizes(samples), axis=1)
        return Work(samples.column("image"), boxes, sizes, limits, image)

    def finish(self, begun: Begun) -> Made:
        """Wait for the images of a batch, replace bad ones and draw captions.

        Raises:
            UserError: as `make`.
        """
        drawn = [self._finish_part(own, begun.image[own.part.where]) for own in begun.parts]
        samples, text, source, caption = (np.concatenate([own[i] for own in drawn]) for i in range(4))
        parts = [own.part for own in begun.parts]
        streams = np.repeat([part.stream for part in parts], [len(part.samples) for part in parts])
        batch = Batch(
            image=begun.image,
            text=self._pinned(torch.from_numpy(text)),
            caption_source=torch.from_numpy(source),
            stream=torch.from_numpy(streams),
            key=[key for own in drawn for key in own.keys],
        )
        return Made(batch, samples, caption)

    def _finish_part(self, begun: BegunPart, image: torch.Tensor) -> Drawn:
        """Have a part's images in `image` [N, 3, S, S] and draw its captions."""
        part, samples, decoding = begun
        numbers = part.samples
        status = self._checked(samples, decoding.finish())
        self.dataset.counters.add(samples=len(numbers), bytes_read=samples.nbytes)
        if status.any():
            with self._reading:
                numbers = self._replacer.replace(numbers, status, image, partial(self._decode_again, part))
                samples = self.dataset.read(numbers)
        with self.dataset.counters.timed("captions_us"):
            return Drawn(numbers, *self._captions(samples, part))

    def _decode_again(self, part: Part, samples: SampleBatch, image: torch.Tensor) -> NDArray[np.uint8]:
        return self._checked(samples, self.decoder.decode_exactly(self._work(part, samples, image)))

    def _checked(self, samples: SampleBatch, status: NDArray[np.uint8]) -> NDArray[np.uint8]:
        if self._care.check_samples:
            status[wrong_hashes(samples)] = Status.BAD_SHARD
        return status

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
