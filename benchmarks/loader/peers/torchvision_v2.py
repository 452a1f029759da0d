"""torchvision's decode_jpeg and v2 transforms on tensors, in a torch DataLoader."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from benchmarks.loader.peers.torch_loader import from_files
from benchmarks.loader.work import MEAN, RATIO, SCALE, SIZE, STD, Array, Boxes, Work

IMPORTS = {"kernel": ("torchvision.transforms.v2",), "loader": ("torchvision.transforms.v2",)}


def finish(output: str) -> Callable[[Any], Any]:
    """What follows the crop: nothing for uint8."""
    import torch
    from torchvision.transforms import v2

    if output == "uint8":
        steps = [v2.Identity()]
    else:
        steps = [v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN, STD)]
    made: Callable[[Any], Any] = v2.Compose(steps)
    return made


def transform(output: str) -> Callable[[Any], Any]:
    """RandomResizedCrop on a uint8 tensor [3, H, W] (torch's own vectorised bicubic), then `finish`."""
    from torchvision.transforms import v2

    crop = v2.RandomResizedCrop(SIZE, SCALE, RATIO, v2.InterpolationMode.BICUBIC, antialias=True)
    made: Callable[[Any], Any] = v2.Compose([crop, finish(output)])
    return made


def decode(encoded: Any) -> Any:
    """uint8 [3, H, W] of a uint8 tensor of JPEG bytes."""
    from torchvision.io import ImageReadMode, decode_jpeg

    return decode_jpeg(encoded, mode=ImageReadMode.RGB)


def as_tensors(images: list[bytes]) -> list[Any]:
    """The encoded images as uint8 tensors."""
    import torch

    return [torch.from_numpy(np.frombuffer(data, np.uint8).copy()) for data in images]


def kernel(work: Work) -> Iterator[int]:
    """Decode and transform, image by image."""
    change, images = transform(work.output), as_tensors(work.folders.images())
    while True:
        for encoded in images:
            change(decode(encoded))
        yield len(images)


def loader(work: Work) -> Iterator[int]:
    """Loose files, worker processes."""
    from torchvision.io import read_file

    change = transform(work.output)
    return from_files(work, lambda path: change(decode(read_file(path))))


def crop(output: str, images: list[bytes], boxes: Boxes) -> Array:
    """The same functional calls with given boxes."""
    import torch
    from torchvision.transforms import v2
    from torchvision.transforms.v2 import functional as tf

    end, out = finish(output), []
    for encoded, (left, top, width, height) in zip(as_tensors(images), boxes.tolist(), strict=True):
        image = decode(encoded)
        image = tf.resized_crop(
            image, top, left, height, width, [SIZE, SIZE], v2.InterpolationMode.BICUBIC, antialias=True
        )
        out.append(end(image))
    array: Array = torch.stack(out).numpy()
    return array
