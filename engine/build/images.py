"""The native image check and conversion, as the options of a build want it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from engine import native
from engine.build.options import BuildOptions
from engine.errors import UserError

Prepared = tuple[list[bytes | None], NDArray[np.uint8], NDArray[np.int32]]


def prepare(images: Sequence[bytes], options: BuildOptions, threads: int) -> Prepared:
    """Images as stored (None where refused), uint8 `[N]` statuses, int32 `[N, 2]` widths and heights."""
    return native.prepare_images(images, prepare_options(options), _pool(threads))


def prepare_options(options: BuildOptions) -> native.PrepareOptions:
    """The options as the native code has them.

    Raises:
        UserError: one of them is out of its range.
    """
    image = options.image
    try:
        return native.PrepareOptions(
            check=image.check,
            resize_shorter=image.resize_shorter,
            quality=image.quality,
            subsampling=image.subsampling,
            lossless_clean=image.lossless_clean,
            limits=native.Limits(image.max_pixels, image.max_side, options.source.max_image_bytes),
        )
    except (ValueError, native.NativeError) as error:
        raise UserError(f"image options: {error}") from error


def image_format(image: bytes) -> str:
    """`jpeg`, `png` or `webp` of an image that passed the check."""
    if image.startswith(b"\xff\xd8"):
        return "jpeg"
    return "png" if image.startswith(b"\x89PNG") else "webp"


@lru_cache(maxsize=1)
def _pool(threads: int) -> native.ThreadPool:
    return native.ThreadPool(threads)
