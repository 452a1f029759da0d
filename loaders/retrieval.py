"""Images with all their captions, in a fixed order: what retrieval (R@K) is measured on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypedDict

import numpy as np
import torch
from numpy.typing import NDArray

from engine.errors import UserError
from engine.native import Status, ThreadPool, eval_batch, status_sentence
from engine.nearest import nearest
from loaders.batches import read_keys, read_tokens
from loaders.buffers import Buffers
from loaders.captions import CaptionTokens
from loaders.dataset import CaptionDataset, OrderOptions
from loaders.fetch import DEFAULT_DEADLINE_S, check_deadline
from loaders.images import CLIP_MEAN, CLIP_STD, KEPT_BATCHES, ImageOptions, as_numpy, empty_images
from loaders.loader import check_tokenizer
from loaders.streams import Place
from loaders.threads import default_threads


class RetrievalBatch(TypedDict):
    """Some images and all their texts.

    image: [B, 3, S, S]; text: int64 [M, context], padded; image_of_text: int64 [M], row of `image` in this
        batch;
    source_of_text: int64 [M], index in dataset.json's sources; key: B strings.
    """

    image: torch.Tensor
    text: torch.Tensor
    image_of_text: torch.Tensor
    source_of_text: torch.Tensor
    key: list[str]


@dataclass(frozen=True)
class RetrievalConfig:
    """Everything about a held-out set.

    Attributes:
        local: folder of the data set, or where `remote` is cached.
        batch_size: images a batch.
        remote: any store that Streaming knows, or None.
        deadline: seconds in which a shard has to arrive from `remote`, all attempts together.
        sources: caption sources to take; empty: all.
        image_size: side of the model's input, pixels.
        dtype: `uint8` (the model normalises on its device), `float32` or `bfloat16`.
        mean: per channel, of values in 0..1.
        std: per channel.
        pass_order: resize like Pillow 11 (horizontal first) or `pillow13`.
        threads: decode threads; 0 shares the node's cores among its ranks.
        rank: this part of the images, of `ranks` (every `ranks`-th image, from `rank` on).
        ranks: 1 gives all images to everyone.
        tokenizer_fingerprint: of the tokenizer the model was built for; None accepts any.
        tokenizer_name: for the message when it is another one.
    """

    local: str
    batch_size: int = 128
    remote: str | None = None
    deadline: float = DEFAULT_DEADLINE_S
    sources: tuple[str, ...] = ()
    image_size: int = 224
    dtype: str = "uint8"
    mean: tuple[float, float, float] = CLIP_MEAN
    std: tuple[float, float, float] = CLIP_STD
    pass_order: str = "pillow11"
    threads: int = 0
    rank: int = 0
    ranks: int = 1
    tokenizer_fingerprint: str | None = None
    tokenizer_name: str | None = None

    def __post_init__(self) -> None:
        """Refuse numbers that cannot be.

        Raises:
            UserError: naming the field.
        """
        if self.batch_size < 1:
            raise UserError(f"retrieval.batch_size: {self.batch_size} given; expected at least 1")
        if not 0 <= self.rank < self.ranks:
            raise UserError(f"retrieval.rank: {self.rank} of {self.ranks} given; expected 0 <= rank < ranks")
        check_deadline("retrieval", self.deadline)
        self.image().check("retrieval")

    def image(self) -> ImageOptions:
        """Return the part that decides how images become a tensor."""
        return ImageOptions(self.image_size, self.dtype, self.mean, self.std, pass_order=self.pass_order)


class RetrievalLoader:
    """Iterates over a held-out set, in index.json's order; each iteration is the same."""

    def __init__(self, config: RetrievalConfig, dataset: CaptionDataset) -> None:
        """Use `build_retrieval_loader`."""
        self.dataset = dataset
        self._config = config
        self._sources = source_mask(config.sources, dataset.info.sources)
        self._image = config.image()
        self._pool = ThreadPool(config.threads or default_threads(0))
        self._buffers = Buffers(KEPT_BATCHES)
        self._samples = np.arange(config.rank, dataset.num_samples, config.ranks, dtype=np.int64)

    def __len__(self) -> int:
        """Return the number of batches."""
        return -(-len(self._samples) // self._config.batch_size)

    def __iter__(self) -> Iterator[RetrievalBatch]:
        """Yield the batches; the last one may be smaller."""
        for first in range(0, len(self._samples), self._config.batch_size):
            yield self._batch(self._samples[first : first + self._config.batch_size])

    def _batch(self, numbers: NDArray[np.int64]) -> RetrievalBatch:
        samples = self.dataset.read(numbers)
        info = self.dataset.info
        keys = read_keys(samples)
        image = empty_images(len(keys), self._image, self._buffers)
        status = eval_batch(
            samples.column("image"),
            as_numpy(image, self._image),
            self._pool,
            limits=info.limits(),
            **self._image.native(),
        )
        refuse_undecoded(status, keys)
        tokens = read_tokens(samples, len(info.sources))
        rows, positions, sources = _all_captions(tokens, self._sources)
        text = tokens.padded_text(rows, positions, info.context_length, info.pad_id)
        return RetrievalBatch(
            image=image,
            text=torch.from_numpy(text),
            image_of_text=torch.from_numpy(rows),
            source_of_text=torch.from_numpy(sources),
            key=keys,
        )


def build_retrieval_loader(config: RetrievalConfig) -> RetrievalLoader:
    """Open a held-out set: evaluation transform, every caption of the chosen sources.

    Raises:
        UserError: when the data set is not one, lacks a source, or has another tokenizer.
    """
    order = OrderOptions(
        [Place(config.local, config.remote)],
        config.batch_size,
        shuffle=False,
        num_canonical_nodes=1,
        deadline=config.deadline,
    )
    dataset = CaptionDataset(order)
    check_tokenizer(config.local, dataset.info, config.tokenizer_fingerprint, config.tokenizer_name)
    return RetrievalLoader(config, dataset)


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


def source_mask(wanted: Sequence[str], sources: Sequence[str]) -> NDArray[np.bool_]:
    """Return bool [sources]: the ones to take; all, where none is wanted by name.

    Raises:
        UserError: for a name that is none.
    """
    for name in wanted:
        if name not in sources:
            raise UserError(
                f"retrieval.sources: unknown source {name}; this dataset has {', '.join(sources)}"
                + nearest(name, sources)
            )
    return np.array([not wanted or name in wanted for name in sources])


def _all_captions(
    tokens: CaptionTokens, sources: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return row, place among the row's captions and source, int64 [M] each, of chosen sources' captions."""
    counts = tokens.counts.astype(np.int64)
    total = counts.sum(axis=1)
    rows = np.repeat(np.arange(len(total)), total)
    positions = np.arange(len(rows)) - np.repeat(np.cumsum(total) - total, total)
    source = np.repeat(np.tile(np.arange(counts.shape[1]), len(total)), counts.ravel())
    keep = sources[source]
    return rows[keep], positions[keep], source[keep]
