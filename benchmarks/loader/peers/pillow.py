"""The reference: Pillow and torchvision, as open_clip's training transform has them."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.loader.work import MEAN, RATIO, SCALE, SIZE, STD, Array, Boxes


def crop(output: str, images: list[bytes], boxes: Boxes) -> Array:
    """RandomResizedCrop's pixels for given boxes, then ToTensor and Normalize if float32 is asked for."""
    from PIL import Image
    from torchvision.transforms import InterpolationMode
    from torchvision.transforms import functional as tf

    out = []
    for data, (left, top, width, height) in zip(images, boxes.tolist(), strict=True):
        image = Image.open(io.BytesIO(data)).convert("RGB")
        image = tf.resized_crop(image, top, left, height, width, [SIZE, SIZE], InterpolationMode.BICUBIC)
        if output == "uint8":
            out.append(np.asarray(image).transpose(2, 0, 1))
        else:
            out.append(tf.normalize(tf.to_tensor(image), MEAN, STD).numpy())
    return np.stack(out)


def transform() -> Callable[[Any], Any]:
    """open_clip's training transform: PIL image -> float32 [3, SIZE, SIZE]."""
    from open_clip.transform import AugmentationCfg, image_transform

    made: Callable[[Any], Any] = image_transform(
        SIZE, is_train=True, mean=MEAN, std=STD, aug_cfg=AugmentationCfg(scale=SCALE, ratio=RATIO)
    )
    return made


def decode(data: bytes) -> Any:
    """A PIL image in RGB."""
    from PIL import Image

    return Image.open(io.BytesIO(data)).convert("RGB")
