"""What a decoder's batches are beside the reference's: pixels, keys, boxes, captions.

Native: its kernel against Pillow and torchvision's transform, which must be equal bit for bit. Others, and
native batches that are normalised: through the loader, against the native loader's exact pixels.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np
import torch

from benchmarks.gpu.plan import NATIVE, PILLOW
from benchmarks.gpu.task import Task
from benchmarks.loader.exact import draw_boxes
from benchmarks.loader.work import SIZE, Array

PASS_ORDERS = ("pillow11", "pillow13")
OUTPUTS = (("uint8", False), ("bfloat16", True))
"""Element type, and whether channels come last in memory."""
LEAST_PSNR_DB = 38.0
"""Of every image, for a decoder that need not be exact."""


def measure(task: Task) -> dict[str, Any]:
    """Differences in steps of 8-bit pixels, PSNR in dB over whole images; `right`: as they should be."""
    if task.choice["reference"] == PILLOW:
        found = _beside_pillow(task)
        return {**found, "right": found["equal"] == found["images"]}
    found = _beside_native(task, OUTPUTS[1:] if task.choice["decoder"] == NATIVE else OUTPUTS)
    return {**found, "right": is_right(found)}


def is_right(found: dict[str, Any]) -> bool:
    """Whether all images are near enough, and keys, boxes and captions the same."""
    least = [value for name, value in found.items() if name.startswith("psnr_min") and value is not None]
    same = [value for name, value in found.items() if name.startswith("same_")]
    return all(value >= LEAST_PSNR_DB for value in least) and all(same)


def compare(ours: Array, reference: Array) -> dict[str, Any]:
    """Of images [N, 3, S, S] in steps of 8-bit pixels; PSNR of an equal image is not counted."""
    difference = np.abs(ours.astype(np.float64) - reference)
    square = (difference**2).mean(axis=(1, 2, 3))
    psnr = 10 * np.log10(255**2 / square[square > 0])
    return {
        "images": len(ours),
        "equal": int((square == 0).sum()),
        "max_diff": float(difference.max()),
        "mean_diff": float(difference.mean()),
        "psnr_min": float(psnr.min()) if len(psnr) else None,
        "psnr_mean": float(psnr.mean()) if len(psnr) else None,
    }


def _beside_pillow(task: Task) -> dict[str, Any]:
    import PIL

    from benchmarks.loader.peers import pillow
    from engine.native import ThreadPool, train_batch

    images = list(islice(_images(task), task.settings.compared))
    boxes = draw_boxes(images)
    reference = pillow.crop("uint8", images, boxes)
    found = {}
    for order in PASS_ORDERS:
        out = np.empty((len(images), 3, SIZE, SIZE), np.uint8)
        train_batch(images, boxes, out, ThreadPool(1), pass_order=order)
        found[order] = compare(out, reference)
    order = min(found, key=lambda name: found[name]["max_diff"])
    return {"reference": f"Pillow {PIL.__version__}", "pass_order": order, **found[order]}


def _images(task: Task) -> Iterator[bytes]:
    """The distinct images."""
    for path in sorted(task.data.tars(task.choice["form"]).iterdir()):
        with tarfile.open(path) as tar:
            for member in tar:
                if member.name.endswith("_000.jpg") and (file := tar.extractfile(member)):
                    yield file.read()


@dataclass
class Seen:
    """What a loader gave: images in 8-bit steps [N, 3, S, S]; boxes by key, as they were drawn."""

    images: list[Array] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    captions: list[Array] = field(default_factory=list)
    boxes: dict[str, list[int]] = field(default_factory=dict)
    devices: set[str] = field(default_factory=set)
    left_to_native: int = 0

    def pixels(self) -> Array:
        """All images."""
        return np.concatenate(self.images)


def _beside_native(task: Task, outputs: Sequence[tuple[str, bool]]) -> dict[str, Any]:
    reference = _see(task, NATIVE, "uint8", False)
    found: dict[str, Any] = {}
    for dtype, channels_last in outputs:
        seen = _see(task, task.choice["decoder"], dtype, channels_last)
        same = {
            "same_keys": seen.keys == reference.keys,
            "same_boxes": all(seen.boxes[key] == reference.boxes[key] for key in reference.keys),
            "same_captions": all(map(np.array_equal, seen.captions, reference.captions)),
        }
        own = compare(seen.pixels(), reference.pixels()) | same
        own |= {
            "reference": "native, uint8",
            "left_to_native": seen.left_to_native,
            "device": ", ".join(sorted(seen.devices)),
        }
        found |= own if dtype == "uint8" else {f"{name}_{dtype}": value for name, value in own.items()}
    return found


def _see(task: Task, decoder: str, dtype: str, channels_last: bool) -> Seen:
    """The first images of an epoch."""
    from benchmarks.gpu.feeds import open_loader
    from loaders.batches import read_keys

    seen = Seen()
    loader = open_loader(task, decoder, dtype=dtype, channels_last=channels_last)
    draw = loader.maker.boxes

    def boxes(epoch: int, samples: Any) -> Any:
        drawn = draw(epoch, samples)
        seen.boxes.update(zip(read_keys(samples), drawn.tolist(), strict=True))
        return drawn

    loader.maker.boxes = boxes  # type: ignore[method-assign]
    batches = iter(loader)
    while len(seen.keys) < task.settings.compared:
        batch = next(batches)
        seen.images.append(_steps(batch["image"], loader.maker.image))
        seen.keys += batch["key"]
        seen.captions += [batch["text"].numpy().copy(), batch["caption_source"].numpy().copy()]
        seen.devices.add(str(batch["image"].device))
    seen.left_to_native = loader.dataset.counters.total().left_to_native
    return seen


def _steps(image: torch.Tensor, options: Any) -> Array:
    """Pixels in 0..255, normalisation undone."""
    values = image.detach().cpu().float()
    if options.dtype != "uint8":
        mean, std = (torch.tensor(v).view(3, 1, 1) for v in (options.mean, options.std))
        values = (values * std + mean) * 255
    array: Array = values.contiguous().numpy().copy()
    return array
