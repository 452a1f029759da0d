"""Draws a scene: textured background, shaded objects, light, camera noise."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from demo.scene import SPOTS, Rng, Scene, Thing
from demo.shapes import mask

Pixels = NDArray[np.float32]  # [H, W, 3], 0 to 255

COLOUR_VALUES = {
    "red": (208, 32, 36), "orange": (240, 130, 24), "yellow": (244, 214, 40), "green": (40, 150, 60),
    "cyan": (50, 200, 210), "blue": (36, 70, 200), "purple": (124, 50, 160), "pink": (244, 130, 180),
    "brown": (120, 72, 36), "black": (24, 24, 26), "white": (244, 244, 240), "grey": (128, 130, 134),
}  # fmt: skip
BACKGROUND_VALUES = {
    "grass": (86, 140, 62), "sand": (216, 192, 140), "snow": (234, 238, 246), "water": (44, 110, 160),
    "bricks": (160, 82, 62), "wood": (150, 106, 64), "night sky": (16, 18, 44), "concrete": (150, 150, 148),
}  # fmt: skip
SIZE_SHARES = {"small": (0.20, 0.26), "medium": (0.32, 0.40), "large": (0.48, 0.60)}  # of the shorter side
LIGHT_RAMPS = {
    "even": (1.0, 1.0),
    "dim": (0.62, 0.62),
    "from the left": (1.15, 0.65),
    "from the right": (0.65, 1.15),
}


def _cloud(rng: Rng, height: int, width: int, cells: int) -> NDArray[np.float32]:
    """Smooth noise [H, W] in [-1, 1]: a coarse random grid, enlarged."""
    grid = rng.uniform(-1, 1, (cells, cells)).astype(np.float32)
    return np.asarray(Image.fromarray(grid).resize((width, height), Image.Resampling.BICUBIC))


def _relief(rng: Rng, name: str, height: int, width: int) -> NDArray[np.float32]:
    """What makes a background recognisable beside its colour: brightness differences [H, W]."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    if name == "bricks":
        row = y // 16
        joints = (y % 16 < 2) | ((x + 16 * (row % 2)) % 32 < 2)
        return np.where(joints, np.float32(55), np.float32(0))
    if name == "wood":
        return np.asarray(16 * np.sin(y / 3 + 4 * _cloud(rng, height, width, 4)), np.float32)
    if name == "water":
        return np.asarray(18 * np.sin(y / 2.5 + 2 * np.sin(x / 15)), np.float32)
    if name == "night sky":
        return np.where(rng.random((height, width)) < 0.004, np.float32(200), np.float32(0))
    strength = {"grass": 34.0, "sand": 14.0, "snow": 5.0, "concrete": 10.0}[name]
    return np.asarray(strength * rng.standard_normal((height, width)), np.float32)


def _background(rng: Rng, name: str, height: int, width: int) -> Pixels:
    base = np.array(BACKGROUND_VALUES[name], np.float32) + rng.uniform(-12, 12, 3).astype(np.float32)
    relief = _relief(rng, name, height, width) + 14 * _cloud(rng, height, width, 5)
    return np.asarray(base + relief[..., None], np.float32)


def _texture(texture: str, side: int) -> NDArray[np.bool_]:
    """Where the second tone goes, [side, side]."""
    y, x = np.mgrid[0:side, 0:side]
    step = max(side // 6, 3)
    if texture == "striped":
        return np.asarray((x + y) // step % 2 == 0)
    if texture == "checkered":
        return np.asarray((x // step + y // step) % 2 == 0)
    if texture == "dotted":
        return np.asarray((x % step - step / 2) ** 2 + (y % step - step / 2) ** 2 < (0.32 * step) ** 2)
    return np.zeros((side, side), np.bool_)


def _surface(rng: Rng, thing: Thing, side: int) -> Pixels:
    colour = np.array(COLOUR_VALUES[thing.colour], np.float32) + rng.uniform(-16, 16, 3).astype(np.float32)
    # The second tone is lighter on dark objects and darker on light ones, so that it can be seen.
    second = colour * 0.45 if colour.mean() > 110 else colour * 0.5 + 110
    tones = np.where(_texture(thing.texture, side)[..., None], second, colour)
    shading = np.linspace(1.12, 0.82, side, dtype=np.float32)[:, None, None]
    return np.asarray(tones * shading, np.float32)


def _place(rng: Rng, pixels: Pixels, thing: Thing) -> None:
    height, width = pixels.shape[:2]
    low, high = SIZE_SHARES[thing.size]
    side = int(rng.uniform(low, high) * min(height, width))
    middle = (SPOTS.index(thing.spot) + 0.5) / len(SPOTS) + rng.uniform(-0.06, 0.06)
    left = int(np.clip(middle * width - side / 2, 0, width - side))
    top = int(np.clip(rng.uniform(0.2, 0.8) * height - side / 2, 0, height - side))
    alpha = np.asarray(mask(thing.shape, side, rng.uniform(-15, 15)), np.float32)[..., None] / 255
    window = pixels[top : top + side, left : left + side]
    window += alpha * (_surface(rng, thing, side) - window)


def draw(rng: Rng, scene: Scene, width: int, height: int) -> Image.Image:
    """The scene as an RGB image of width x height pixels."""
    pixels = _background(rng, scene.background, height, width)
    for index in rng.permutation(len(scene.things)):
        _place(rng, pixels, scene.things[index])
    ramp = np.linspace(*LIGHT_RAMPS[scene.light], width, dtype=np.float32)[None, :, None]
    noise = rng.uniform(1, 9) * rng.standard_normal((height, width, 1), dtype=np.float32)
    return Image.fromarray(np.clip(pixels * ramp + noise, 0, 255).astype(np.uint8))
