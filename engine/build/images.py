"""The native image check and conversion, as the options of a build want it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from engine import native
from engine.build.options import BuildOptions

Prepared = tuple[list[bytes | None], Any, Any]


def prepare(images: Sequence[bytes], options: BuildOptions, threads: int) -> Prepared:
    """Images as stored (None where refused), uint8 `[N]` statuses, int32 `[N, 2]` widths and heights."""
    if not hasattr(native, "prepare_images"):
        return _prepare_with_pillow(images)
    image = options.image
    wanted = native.PrepareOptions(
        check=image.check,
        resize_shorter=image.resize_shorter,
        quality=image.quality,
        subsampling=image.subsampling,
        lossless_clean=image.lossless_clean,
        limits=native.Limits(image.max_pixels, image.max_side, options.source.max_image_bytes),
    )
    return native.prepare_images(images, wanted, _pool(threads))


def image_format(image: bytes) -> str:
    """`jpeg`, `png` or `webp` of an image that passed the check."""
    if image.startswith(b"\xff\xd8"):
        return "jpeg"
    return "png" if image.startswith(b"\x89PNG") else "webp"


def _prepare_with_pillow(images: Sequence[bytes]) -> Prepared:
    import io

    from PIL import Image

    stored: list[bytes | None] = []
    statuses, sizes = np.zeros(len(images), np.uint8), np.zeros((len(images), 2), np.int32)
    for at, data in enumerate(images):
        try:
            opened = Image.open(io.BytesIO(data), formats=("JPEG", "PNG", "WEBP"))
            opened.load()
            sizes[at] = opened.size
            stored.append(data)
        except Exception:
            statuses[at] = native.Status.CORRUPT
            stored.append(None)
    return stored, statuses, sizes


@lru_cache(maxsize=1)
def _pool(threads: int) -> native.ThreadPool:
    return native.ThreadPool(threads)
