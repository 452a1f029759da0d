"""Outlines of the demo's objects, as masks drawn with Pillow."""

from __future__ import annotations

import math
from collections.abc import Callable

from PIL import Image, ImageDraw

Point = tuple[float, float]
Outline = Callable[[ImageDraw.ImageDraw, float], None]


def _corners(count: int, radius: float, turn: float = -math.pi / 2) -> list[Point]:
    angles = [turn + 2 * math.pi * i / count for i in range(count)]
    return [(radius * math.cos(angle), radius * math.sin(angle)) for angle in angles]


def _moved(points: list[Point], centre: float, radius: float) -> list[Point]:
    return [(centre + radius * x, centre + radius * y) for x, y in points]


def _polygon(points: list[Point]) -> Outline:
    def draw(canvas: ImageDraw.ImageDraw, radius: float) -> None:
        canvas.polygon(_moved(points, radius, radius), fill=255)

    return draw


def _disc(canvas: ImageDraw.ImageDraw, centre: Point, radius: float, fill: int = 255) -> None:
    x, y = centre
    canvas.ellipse((x - radius, y - radius, x + radius, y + radius), fill=fill)


def _circle(canvas: ImageDraw.ImageDraw, r: float) -> None:
    _disc(canvas, (r, r), 0.95 * r)


def _ring(canvas: ImageDraw.ImageDraw, r: float) -> None:
    _disc(canvas, (r, r), 0.95 * r)
    _disc(canvas, (r, r), 0.5 * r, fill=0)


def _crescent(canvas: ImageDraw.ImageDraw, r: float) -> None:
    _disc(canvas, (r, r), 0.95 * r)
    _disc(canvas, (1.45 * r, 0.8 * r), 0.8 * r, fill=0)


def _heart(canvas: ImageDraw.ImageDraw, r: float) -> None:
    _disc(canvas, (0.55 * r, 0.7 * r), 0.47 * r)
    _disc(canvas, (1.45 * r, 0.7 * r), 0.47 * r)
    canvas.polygon([(0.13 * r, 0.9 * r), (1.87 * r, 0.9 * r), (r, 1.9 * r)], fill=255)


def _flower(canvas: ImageDraw.ImageDraw, r: float) -> None:
    for x, y in _corners(6, 0.58):
        _disc(canvas, (r + r * x, r + r * y), 0.36 * r)
    _disc(canvas, (r, r), 0.25 * r, fill=0)


_STAR = [
    p
    for pair in zip(_corners(5, 1.0), _corners(5, 0.42, -math.pi / 2 + math.pi / 5), strict=True)
    for p in pair
]
_SQUARE: list[Point] = [(-0.8, -0.8), (0.8, -0.8), (0.8, 0.8), (-0.8, 0.8)]
_DIAMOND: list[Point] = [(0, -1), (0.62, 0), (0, 1), (-0.62, 0)]
_CROSS: list[Point] = [
    (-0.3, -0.95), (0.3, -0.95), (0.3, -0.3), (0.95, -0.3), (0.95, 0.3), (0.3, 0.3),
    (0.3, 0.95), (-0.3, 0.95), (-0.3, 0.3), (-0.95, 0.3), (-0.95, -0.3), (-0.3, -0.3),
]  # fmt: skip
_ARROW: list[Point] = [
    (-0.95, -0.28),
    (0.1, -0.28),
    (0.1, -0.75),
    (0.95, 0),
    (0.1, 0.75),
    (0.1, 0.28),
    (-0.95, 0.28),
]

OUTLINES: dict[str, Outline] = {
    "circle": _circle,
    "square": _polygon(_SQUARE),
    "triangle": _polygon(_corners(3, 1.0)),
    "star": _polygon(_STAR),
    "hexagon": _polygon(_corners(6, 0.95)),
    "cross": _polygon(_CROSS),
    "ring": _ring,
    "heart": _heart,
    "crescent": _crescent,
    "diamond": _polygon(_DIAMOND),
    "arrow": _polygon(_ARROW),
    "flower": _flower,
}


def mask(shape: str, side: int, angle: float) -> Image.Image:
    """The shape as an antialiased "L" mask of side x side pixels, turned by `angle` degrees."""
    large = Image.new("L", (4 * side, 4 * side), 0)
    OUTLINES[shape](ImageDraw.Draw(large), 2.0 * side)
    return large.rotate(angle).resize((side, side), Image.Resampling.BOX)
