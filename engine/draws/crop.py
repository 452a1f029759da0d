"""RandomResizedCrop's box, number for number as csrc/image/crop.cpp draws it.

The algorithm is torchvision's `RandomResizedCrop.get_params` (ten tries, then a centred fallback) in float64;
only the source of randomness is ours.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from engine.draws.philox import CROP, below, draw_words, uniform

Box = tuple[int, int, int, int]

DEFAULT_SCALE = (0.9, 1.0)
"""open_clip's scale for CLIP training."""
DEFAULT_RATIO = (3.0 / 4.0, 4.0 / 3.0)

_TRIES = 10


def crop_boxes(
    widths: NDArray[np.int32],
    heights: NDArray[np.int32],
    key_hash: NDArray[np.uint64],
    *,
    seed: int,
    epoch: int,
    scale: tuple[float, float] = DEFAULT_SCALE,
    ratio: tuple[float, float] = DEFAULT_RATIO,
) -> NDArray[np.int32]:
    """Boxes of many images; the slow twin of `engine.native.crop_boxes`.

    Args:
        widths: int32 [N], pixels.
        heights: int32 [N], pixels.
        key_hash: uint64 [N], xxh3_64 of the sample keys.
        seed: The run's seed.
        epoch: The epoch.
        scale: Smallest and largest share of the image's area.
        ratio: Smallest and largest width / height.

    Returns:
        int32 [N, 4] (left, top, width, height); a size below 1 gives an empty box.
    """
    boxes = [
        crop_box((int(w), int(h)), int(k), seed=seed, epoch=epoch, scale=scale, ratio=ratio)
        for w, h, k in zip(widths, heights, key_hash, strict=True)
    ]
    return np.array(boxes, dtype=np.int32).reshape(-1, 4)


def crop_box(
    size: tuple[int, int],
    key_hash: int,
    *,
    seed: int,
    epoch: int,
    scale: tuple[float, float] = DEFAULT_SCALE,
    ratio: tuple[float, float] = DEFAULT_RATIO,
) -> Box:
    """The box of one image of `size` (width, height); see `crop_boxes`."""
    width, height = size
    if width < 1 or height < 1:
        return (0, 0, 0, 0)
    words = draw_words(np.full(_TRIES, key_hash, np.uint64), seed, epoch, CROP, np.arange(_TRIES))
    log_low, log_high = math.log(ratio[0]), math.log(ratio[1])
    for (u, v, _, _), tried in zip(uniform(words).tolist(), words, strict=True):
        target = width * height * (scale[0] + u * (scale[1] - scale[0]))
        aspect = math.exp(log_low + v * (log_high - log_low))
        w, h = round(math.sqrt(target * aspect)), round(math.sqrt(target / aspect))
        if 0 < w <= width and 0 < h <= height:
            top, left = below(tried[2:], [height - h + 1, width - w + 1]).tolist()
            return (left, top, w, h)
    return _fallback(width, height, ratio)


def _fallback(width: int, height: int, ratio: tuple[float, float]) -> Box:
    w, h = width, height
    if width / height < ratio[0]:
        h = round(width / ratio[0])
    elif width / height > ratio[1]:
        w = round(height * ratio[1])
    return ((width - w) // 2, (height - h) // 2, w, h)
