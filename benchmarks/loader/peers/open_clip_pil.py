"""open_clip's own transform on PIL images, in a torch DataLoader."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from benchmarks.loader.peers import pillow
from benchmarks.loader.peers.torch_loader import from_files
from benchmarks.loader.work import Work

IMPORTS = {"kernel": ("open_clip.transform",), "loader": ("open_clip.transform",)}
crop = pillow.crop


def kernel(work: Work) -> Iterator[int]:
    """Decode and transform, image by image."""
    transform, images = pillow.transform(), work.folders.images()
    while True:
        for data in images:
            transform(pillow.decode(data))
        yield len(images)


def loader(work: Work) -> Iterator[int]:
    """Loose files, worker processes."""
    from PIL import Image

    transform = pillow.transform()

    def load(path: str) -> Any:
        with Image.open(path) as image:
            return transform(image.convert("RGB"))

    return from_files(work, load)
