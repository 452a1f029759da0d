"""Makes golden/tf_bilinear.npz: what TensorFlow itself gives (2.21 was used; nothing else needs it).

python tests/native/make_tf_bilinear.py
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

SIZE = 12
# Width and height: larger and smaller than SIZE, both ways, odd differences, as it is, very long.
SHAPES = (
    (40, 30),
    (30, 40),
    (25, 25),
    (12, 12),
    (12, 31),
    (13, 64),
    (64, 13),
    (7, 5),
    (5, 7),
    (3, 3),
    (1, 2),
    (300, 9),
)


def pixels(width: int, height: int) -> np.ndarray:
    """The image: uint8 [height, width, 3] noise."""
    rng = np.random.Generator(np.random.PCG64(width * 1000 + height))
    return rng.integers(0, 256, (height, width, 3), np.uint8)


def main() -> None:
    import tensorflow as tf

    found = {}
    for width, height in SHAPES:
        target = (100000, SIZE) if height > width else (SIZE, 100000)
        image = tf.image.resize(
            tf.constant(pixels(width, height)),
            target,
            "bilinear",
            preserve_aspect_ratio=True,
            antialias=False,
        )
        top, left = ((side - SIZE) // 2 for side in image.shape[:2])
        found[f"{width}x{height}"] = image[top : top + SIZE, left : left + SIZE].numpy()
    np.savez_compressed(Path(__file__).parent / "golden" / "tf_bilinear.npz", **found)


if __name__ == "__main__":
    main()
