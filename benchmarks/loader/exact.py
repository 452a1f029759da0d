"""How far a peer's pixels are from Pillow's for the same crop boxes."""

from __future__ import annotations

import numpy as np

from benchmarks.loader.peers import pillow
from benchmarks.loader.work import RATIO, SCALE, STD, Adapter, Boxes, Folders

COMPARED = 32
"""Images of each input."""


def draw_boxes(images: list[bytes]) -> Boxes:
    """RandomResizedCrop boxes, int32 [N, 4]; the same for every peer."""
    from engine.native import crop_boxes, probe

    infos = [probe(data) for data in images]
    widths = np.array([info.width for info in infos], np.int32)
    heights = np.array([info.height for info in infos], np.int32)
    hashes = np.arange(len(images), dtype=np.uint64)
    return crop_boxes(widths, heights, hashes, seed=1, epoch=0, scale=SCALE, ratio=RATIO)


def write_reference(folders: Folders) -> None:
    """Pillow's pixels, once for all peers, so that a peer's process need not hold torchvision."""
    images = folders.images()[:COMPARED]
    for output in ("uint8", "float32"):
        np.save(folders.reference(output), pillow.crop(output, images, draw_boxes(images)))


def largest_difference(adapter: Adapter, folders: Folders, output: str) -> float:
    """In steps of 8-bit pixels; 0 means the same bits, of floating-point values too."""
    images = folders.images()[:COMPARED]
    theirs = adapter.crop(output, images, draw_boxes(images))
    reference = np.load(folders.reference(output))
    if theirs.dtype != reference.dtype or theirs.shape != reference.shape:
        raise TypeError(f"{theirs.dtype} {theirs.shape} given, expected {reference.dtype} {reference.shape}")
    difference = np.abs(theirs.astype(np.float64) - reference)
    if output == "float32":
        difference *= 255 * np.array(STD).reshape(3, 1, 1)
    largest = float(difference.max())
    return round(largest, 3) or min(largest, 0.001)
