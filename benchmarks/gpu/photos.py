"""Photograph-like JPEG files, drawn: noise with a photograph's spectrum, shapes with edges, captions."""

from __future__ import annotations

import io
from typing import Any

import numpy as np

ASPECTS = (1.0, 4 / 3, 3 / 2, 16 / 9)
SUBSAMPLING = ("4:2:0", "4:2:0", "4:2:0", "4:2:0", "4:4:4")
SHAPES = 24
WORDS = [
    "a", "the", "of", "on", "in", "with", "near", "red", "green", "small", "large", "old", "new", "house",
    "river", "dog", "woman", "man", "street", "mountain", "table", "morning", "light", "photo", "two",
    "sitting", "standing", "wooden", "glass", "city", "snow", "summer", "bicycle", "boat", "garden", "child",
]  # fmt: skip


def draw_photo(number: int) -> bytes:
    """JPEG number `number`: always the same bytes with the same Pillow.

    The shorter side is log-normal around 480 pixels, quality 75 to 95, chroma mostly subsampled, as images on
    the web are.
    """
    draw = np.random.default_rng(number)
    shorter = int(np.clip(480 * np.exp(0.45 * draw.standard_normal()), 160, 1600))
    longer = int(shorter * ASPECTS[draw.integers(len(ASPECTS))])
    width, height = (longer, shorter) if draw.random() < 0.7 else (shorter, longer)
    image = _noise(draw, width, height)
    _add_shapes(draw, image)
    image = _with_grain(draw, image)
    file = io.BytesIO()
    subsampling = SUBSAMPLING[draw.integers(len(SUBSAMPLING))]
    image.save(file, "jpeg", quality=int(draw.integers(75, 96)), subsampling=subsampling)
    return file.getvalue()


def _noise(draw: np.random.Generator, width: int, height: int) -> Any:
    """Layers of noise, each three times as fine and about half as strong: amplitude falls with frequency."""
    from PIL import Image

    total = np.zeros((height, width, 3), np.float32)
    cell, strength = max(width, height), 70.0
    while cell >= 2:
        grid = draw.integers(0, 256, (height // cell + 2, width // cell + 2, 3), np.uint8)
        layer = Image.fromarray(grid).resize((width, height), Image.Resampling.BICUBIC)
        total += (np.asarray(layer, np.float32) - 127.5) * (strength / 127.5)
        cell, strength = cell // 3, strength * 0.55
    return Image.fromarray(np.clip(total + draw.uniform(90, 160, 3), 0, 255).astype(np.uint8))


def _add_shapes(draw: np.random.Generator, image: Any) -> None:
    """Ellipses and lines of one colour each: edges."""
    from PIL import ImageDraw

    pen = ImageDraw.Draw(image)
    for _ in range(SHAPES):
        x, y = draw.integers(0, image.width), draw.integers(0, image.height)
        size = int(min(image.size) * draw.uniform(0.02, 0.25))
        colour = tuple(draw.integers(60, 200, 3).tolist())
        if draw.random() < 0.5:
            pen.ellipse((x - size, y - size, x + size, y + size // 2), fill=colour)
        else:
            pen.line((x, y, x + size, y - size), fill=colour, width=int(draw.integers(1, 5)))


def _with_grain(draw: np.random.Generator, image: Any) -> Any:
    """A camera's noise and fine texture, of another strength in each image."""
    from PIL import Image

    strength = float(draw.uniform(2, 14))
    grain = draw.standard_normal((image.height, image.width, 1), np.float32) * strength
    return Image.fromarray(np.clip(np.asarray(image, np.float32) + grain, 0, 255).astype(np.uint8))


def draw_caption(number: int) -> str:
    """3 to 30 words, as AltText has."""
    draw = np.random.default_rng((number, 1))
    length = int(np.clip(3 + draw.gamma(2.0, 4.0), 3, 30))
    return " ".join(WORDS[at] for at in draw.integers(0, len(WORDS), length))
