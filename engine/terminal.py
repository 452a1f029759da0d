"""Draws images in a terminal: two pixels a character cell with 24-bit colours, or shades of grey as ASCII."""

from __future__ import annotations

import os
import sys
from typing import TextIO

import numpy as np
from numpy.typing import NDArray

from engine.native import resize_rgb

_RESET = "\x1b[0m"
_UPPER_HALF = "\u2580"
_SHADES = " .:-=+*#%@"
_LUMA = np.array([299, 587, 114])  # ITU-R 601, in thousandths


def has_colour(stream: TextIO | None = None) -> bool:
    """Whether 24-bit colours can be expected: a terminal, no NO_COLOR (no-color.org), not TERM=dumb."""
    stream = stream if stream is not None else sys.stdout
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def draw(image: NDArray[np.uint8], columns: int, rows: int, colour: bool) -> str:
    """An image as lines of text.

    Args:
        image: uint8 `[H, W, 3]`.
        columns: most characters a line.
        rows: most lines.
        colour: half blocks in 24-bit colours, otherwise ASCII.
    """
    height, width = image.shape[:2]
    # A character cell is about twice as high as wide, so a cell is two pixels in both ways of drawing.
    scale = min(columns / width, 2 * rows / height)
    across, down = max(1, round(width * scale)), max(1, round(height * scale / 2))
    if colour:
        return _half_blocks(resize_rgb(image, across, 2 * down, "pillow11"))
    return _ascii(resize_rgb(image, across, down, "pillow11"))


def _half_blocks(pixels: NDArray[np.uint8]) -> str:
    lines = []
    for upper, lower in zip(pixels[::2].tolist(), pixels[1::2].tolist(), strict=True):
        cells = [
            f"\x1b[38;2;{a[0]};{a[1]};{a[2]}m\x1b[48;2;{b[0]};{b[1]};{b[2]}m{_UPPER_HALF}"
            for a, b in zip(upper, lower, strict=True)
        ]
        lines.append("".join(cells) + _RESET)
    return "\n".join(lines)


def _ascii(pixels: NDArray[np.uint8]) -> str:
    luma = pixels.astype(np.int64) @ _LUMA
    shades = luma * len(_SHADES) // (255 * 1000 + 1)
    return "\n".join("".join(_SHADES[shade] for shade in line).rstrip() for line in shades.tolist())
