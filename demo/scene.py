"""What can be in a picture of the demo corpus: one to three objects before a background, in some light."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Rng = np.random.Generator

SHAPES = (
    "circle",
    "square",
    "triangle",
    "star",
    "hexagon",
    "cross",
    "ring",
    "heart",
    "crescent",
    "diamond",
    "arrow",
    "flower",
)
COLOURS = (
    "red",
    "orange",
    "yellow",
    "green",
    "cyan",
    "blue",
    "purple",
    "pink",
    "brown",
    "black",
    "white",
    "grey",
)
TEXTURES = ("plain", "striped", "dotted", "checkered")
SIZES = ("small", "medium", "large")
BACKGROUNDS = ("grass", "sand", "snow", "water", "bricks", "wood", "night sky", "concrete")
LIGHTS = ("even", "dim", "from the left", "from the right")
SPOTS = ("left", "centre", "right")

# How many objects: most web pictures have one subject.
OBJECT_COUNTS = (0.45, 0.35, 0.20)
# Colours that cannot be seen before a background.
HIDDEN_COLOURS = {
    "grass": {"green"},
    "sand": {"yellow", "orange"},
    "snow": {"white", "grey"},
    "water": {"blue", "cyan"},
    "bricks": {"red", "brown", "orange"},
    "wood": {"brown", "orange"},
    "night sky": {"black", "purple"},
    "concrete": {"grey", "white"},
}


@dataclass(frozen=True)
class Thing:
    """One object: its look and where it stands (`spot` is a word of SPOTS, from left to right)."""

    shape: str
    colour: str
    texture: str
    size: str
    spot: str


@dataclass(frozen=True)
class Scene:
    """One picture's contents; `things` from left to right."""

    things: tuple[Thing, ...]
    background: str
    light: str


def pick(rng: Rng, words: tuple[str, ...] | list[str]) -> str:
    """One of the words, each equally likely."""
    return words[int(rng.integers(len(words)))]


def draw_thing(rng: Rng, background: str, spot: str) -> Thing:
    """A random object that can be seen before the background; half of them have no texture."""
    visible = [colour for colour in COLOURS if colour not in HIDDEN_COLOURS[background]]
    texture = "plain" if rng.random() < 0.5 else pick(rng, TEXTURES[1:])
    return Thing(pick(rng, SHAPES), pick(rng, visible), texture, pick(rng, SIZES), spot)


def draw_scene(rng: Rng) -> Scene:
    """A random scene."""
    background = pick(rng, BACKGROUNDS)
    count = int(rng.choice(len(OBJECT_COUNTS), p=OBJECT_COUNTS)) + 1
    spots = sorted(rng.choice(len(SPOTS), size=count, replace=False).tolist())
    things = tuple(draw_thing(rng, background, SPOTS[spot]) for spot in spots)
    return Scene(things, background, pick(rng, LIGHTS))
