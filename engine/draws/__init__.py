"""Random draws as pure functions of (run seed, epoch, sample key); the C++ core draws the same."""

from engine.draws.crop import crop_box, crop_boxes
from engine.draws.philox import (
    CAPTION,
    CROP,
    EXAMPLES,
    below,
    caption_words,
    draw_words,
    uniform,
)

__all__ = [
    "CAPTION",
    "CROP",
    "EXAMPLES",
    "below",
    "caption_words",
    "crop_box",
    "crop_boxes",
    "draw_words",
    "uniform",
]
