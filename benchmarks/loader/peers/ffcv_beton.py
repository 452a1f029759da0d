"""FFCV: its own container with the same JPEG bytes, decoded by threads, cropped and averaged (area) to size.

uint8 out: its examples leave normalisation to the device.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.loader.work import RATIO, SCALE, SIZE, Array, Boxes, Work

IMPORTS = {"loader": ("ffcv.loader", "ffcv.fields.rgb_image", "ffcv.transforms")}


class _Files:
    """What FFCV's writer reads: numbered samples."""

    def __init__(self, paths: Sequence[str]) -> None:
        self._paths = paths

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, at: int) -> tuple[bytes]:
        return (Path(self._paths[at]).read_bytes(),)


def pack(paths: Sequence[str], target: Path) -> None:
    """Write a .beton file that holds the JPEG files as they are; FFCV's own field would encode them anew."""
    from ffcv.fields import RGBImageField
    from ffcv.writer import DatasetWriter

    field = RGBImageField(write_mode="jpg")
    field.encode = _store
    DatasetWriter(str(target), {"image": field}, num_workers=1).from_indexed_dataset(_Files(paths))


def _store(destination: Any, data: bytes, allocate: Callable[[int], tuple[int, Any]]) -> None:
    from ffcv.fields.rgb_image import IMAGE_MODES

    from engine.native import probe

    info = probe(data)
    destination["mode"] = IMAGE_MODES["jpg"]
    destination["width"], destination["height"] = info.width, info.height
    destination["data_ptr"], storage = allocate(len(data))
    storage[:] = np.frombuffer(data, np.uint8)


def loader(work: Work) -> Iterator[int]:
    """Its Loader in random order from the page cache, with as many threads as asked for."""
    from ffcv.fields.rgb_image import RandomResizedCropRGBImageDecoder
    from ffcv.loader import Loader, OrderOption
    from ffcv.transforms import ToTensor, ToTorchImage

    decoder = RandomResizedCropRGBImageDecoder((SIZE, SIZE), scale=SCALE, ratio=RATIO)
    batches = Loader(
        str(work.folders.ffcv),
        batch_size=work.batch,
        num_workers=work.threads,
        order=OrderOption.RANDOM,
        os_cache=True,
        drop_last=True,
        pipelines={"image": [decoder, ToTensor(), ToTorchImage()]},
    )
    while True:
        for (images,) in batches:
            yield len(images)


def crop(output: str, images: list[bytes], boxes: Boxes) -> Array:
    """Its decoder and its resize with given boxes."""
    from ffcv.libffcv import imdecode, resize_crop

    from engine.native import probe

    out = np.empty((len(images), SIZE, SIZE, 3), np.uint8)
    for data, (left, top, width, height), target in zip(images, boxes.tolist(), out, strict=True):
        info = probe(data)
        whole = np.empty((info.height, info.width, 3), np.uint8)
        imdecode(np.frombuffer(data, np.uint8), whole, info.height, info.width, info.height, info.width)
        resize_crop(whole, top, top + height, left, left + width, target)
    return np.ascontiguousarray(out.transpose(0, 3, 1, 2))
