"""Results of tasks that nobody measured, over drawn images: what table and report are tried with."""

from __future__ import annotations

import io
from collections.abc import Collection, Iterator, Mapping, Sequence

import numpy as np
from PIL import Image

from engine.records import Reject
from engine.sources import Unit
from train.evaluate.results import ClassDetail, RetrievalDetail, TaskResult
from train.evaluate.sets.base import ImageSet, Item
from train.evaluate.tasks import Kind, Task

HOSTILE = "</script><img src=x onerror=\"document.title='RAN'\">@DATA@ @SCRIPT@ \u202edlog\u200b \ud800"


class Drawn(ImageSet):
    """A colour for each key; those in `broken` are no images."""

    def __init__(self, keys: Sequence[str], broken: Collection[str] = ()) -> None:
        self.where = "drawn"
        self.keys, self.broken = keys, broken
        self.asked: list[str] = []

    def units(self) -> list[Unit]:
        return []

    def read(self, unit: Unit) -> Iterator[Item | Reject]:
        yield from ()

    def pictures(self, keys: Collection[str]) -> dict[str, bytes]:
        self.asked += keys
        return {key: self._picture(key) for key in keys if key in self.keys}

    def _picture(self, key: str) -> bytes:
        if key in self.broken:
            return b"broken"
        at = list(self.keys).index(key)
        file = io.BytesIO()
        Image.new("RGB", (300, 200), (at * 37 % 256, at * 91 % 256, 120)).save(file, "JPEG")
        return file.getvalue()


class Gone(Drawn):
    def pictures(self, keys: Collection[str]) -> dict[str, bytes]:
        raise FileNotFoundError("drawn")


def class_result(
    label: Sequence[int], found: Sequence[int], names: Sequence[str], images: ImageSet | None = None
) -> TaskResult:
    keys = [f"k{at}" for at in range(len(label))]
    right = float(np.mean(np.array(label) == np.array(found)))
    detail = ClassDetail(keys, tuple(names), np.array(label), np.array(found)[:, None])
    metrics = {"single/top_1": right, "single/mean_per_class_recall": 2 / 3}
    task = Task("birds", "Birds", Kind.CLASSES, images=50_000)
    return result(task, metrics, {"images": len(label), "classes": len(names)}, detail, images or Drawn(keys))


def retrieval_result(
    images: int, per_image: int, seed: int, keys: Sequence[str] = (), texts: Sequence[str] = ()
) -> TaskResult:
    """Scores are drawn; an image's own texts stand a little before others."""
    keys = list(keys) or [f"image-{at}.jpg" for at in range(images)]
    owner = np.repeat(np.arange(images), per_image)
    texts = list(texts) or [f"caption {at % per_image} of {keys[own]}" for at, own in enumerate(owner)]
    rng = np.random.default_rng(seed)
    own = owner[:, None] == np.arange(images)
    scores = rng.normal(0, 1, (len(texts), images)) + own
    text_order = np.argsort(-scores, 1, kind="stable")
    image_order = np.argsort(-scores.T, 1, kind="stable")
    text_place = np.argmax(owner[:, None] == text_order, 1)
    image_place = np.argmax(owner[image_order] == np.arange(images)[:, None], 1)
    detail = RetrievalDetail(
        keys, texts, owner, text_place, text_order[:, :5], image_place, image_order[:, :5]
    )  # fmt: skip
    metrics = {
        "image_to_text_r@1": float(np.mean(image_place == 0)),
        "text_to_image_r@1": float(np.mean(text_place == 0)),
    }
    task = Task("flickr8k", "Flickr8k", Kind.RETRIEVAL, images=images)
    return result(task, metrics, {"images": images, "texts": len(texts)}, detail, Drawn(keys))


def result(
    task: Task,
    metrics: Mapping[str, float],
    sizes: Mapping[str, int],
    detail: ClassDetail | RetrievalDetail | None,
    images: ImageSet,
    rejects: tuple[Reject, ...] = (),
) -> TaskResult:
    return TaskResult(task, images.where, metrics, sizes, rejects, detail, images, 12.25)
