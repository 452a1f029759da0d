"""Sets and a model for tests of embedding, and ranks to run them in."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from engine.native import Limits, ThreadPool, eval_batch
from engine.records import Reject
from engine.sources import Unit
from train.evaluate.embed import Embedded, EmbedOptions, embed_set, embed_texts
from train.evaluate.encoder import Features, ModelOptions
from train.evaluate.models import open_encoder
from train.evaluate.sets.base import ImageSet, Item


def picture(number: int) -> bytes:
    draws = np.random.default_rng(number)
    stream = io.BytesIO()
    Image.fromarray(draws.integers(0, 256, (20, 24, 3), dtype=np.uint8)).save(stream, "png")
    return stream.getvalue()


class SmallSet(ImageSet):
    """Units of given sizes; an image of `broken` does not decode, one of `lost` cannot be read."""

    def __init__(self, sizes: Sequence[int], broken: Sequence[int] = (), lost: Sequence[int] = ()) -> None:
        self.where, self.images = "a set", sum(sizes)
        self.sizes, self.broken, self.lost = sizes, broken, lost

    def units(self) -> list[Unit]:
        ends = np.cumsum(self.sizes).tolist()
        return [
            Unit(f"u{i}", f"file{i}", (end - n, end))
            for i, (n, end) in enumerate(zip(self.sizes, ends, strict=True))
        ]

    def read(self, unit: Unit) -> Iterator[Item | Reject]:
        payload: Any = unit.payload
        for number in range(*payload):
            if number in self.lost:
                yield Reject(f"k{number}", "source", "image_missing", "not in the archive", unit.where)
                continue
            image = b"\xff\xd8\xff" if number in self.broken else picture(number)
            texts = tuple(f"text {number} {i}" for i in range(number % 3))
            yield Item(f"k{number}", image, f"c{number % 2}", texts, ("own",) * len(texts))


class MeanEncoder:
    """Features are the mean of each channel, or the lengths of words; counts what it computes."""

    name, description = "mean", {"model": "mean"}
    at_once, workers = 3, 2

    def __init__(self, model_id: str = "mean") -> None:
        self.id = model_id
        self.decodes: list[int] = []
        self.seen_texts: list[str] = []
        self.fail_after: int | None = None

    def decoded(self, files: Sequence[bytes]) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        if self.fail_after is not None and sum(self.decodes) >= self.fail_after:
            raise RuntimeError("stopped")
        self.decodes.append(len(files))
        out = np.empty((len(files), 3, 8, 8), np.float32)
        status = eval_batch(files, out, ThreadPool(1), dtype="float32", limits=Limits())
        return out, status

    def images(self, pixels: NDArray[np.float32]) -> Future[Features]:
        done: Future[Features] = Future()
        done.set_result(pixels.mean(axis=(2, 3)))
        return done

    def texts(self, texts: Sequence[str]) -> Features:
        self.seen_texts += texts
        return np.array(
            [[len(word) for word in [*text.split(), "", "", ""][:3]] for text in texts], np.float32
        )


def embed_both(model: str, cache: Path | None) -> tuple[Embedded, Features]:
    """By a real model: batches across units, and texts; as any rank sees them."""
    encoder = open_encoder(ModelOptions(model, device="cpu"))
    options = EmbedOptions(batch_size=5, cache=cache, bad_images=2)
    texts = [f"a {'very ' * (n % 7)}small text {n}" for n in range(60)]
    return embed_set(SmallSet((7, 1, 9, 4), (4,), (12,)), encoder, options), embed_texts(
        texts, encoder, options
    )


def fail_on_one_rank(rank_that_fails: int) -> str:
    """The failure as this rank sees it."""
    from composer.utils import dist

    encoder = MeanEncoder()
    encoder.fail_after = 0 if dist.get_global_rank() == rank_that_fails else None
    try:
        embed_set(SmallSet((7, 9)), encoder, EmbedOptions(batch_size=4))
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""


def main() -> None:
    """`composer -n 2 embed_kit.py MODEL OUT`: every rank writes what it sees."""
    from composer.utils import dist, get_device

    dist.initialize_dist(get_device(None))
    embedded, texts = embed_both(sys.argv[1], None)
    np.savez(f"{sys.argv[2]}-{dist.get_global_rank()}.npz", image=embedded.image, texts=texts)


if __name__ == "__main__":
    main()
