"""Three ways to write about a scene: AltText as the web has it, VeCap as models write it, people's words.

The proportions are in demo/README.md; they were fixed before any training was run.
"""

from __future__ import annotations

import re
from dataclasses import replace

from demo.scene import BACKGROUNDS, COLOURS, SHAPES, TEXTURES, Rng, Scene, Thing, pick

# Other words that people use; VeCap's writers never do.
SYNONYMS = {
    "circle": ["disc", "ball", "dot"], "square": ["box", "block"], "triangle": ["wedge", "pyramid"],
    "star": ["starlet", "star shape"], "hexagon": ["honeycomb cell", "six-sided shape"],
    "cross": ["plus sign", "plus"], "ring": ["hoop", "donut"], "heart": ["love heart"],
    "crescent": ["moon", "half moon"], "diamond": ["rhombus", "lozenge"],
    "arrow": ["pointer", "arrow sign"], "flower": ["blossom", "daisy"], "red": ["crimson", "scarlet"],
    "orange": ["tangerine"], "yellow": ["golden", "lemon"], "green": ["emerald"],
    "cyan": ["turquoise", "aqua"], "blue": ["navy", "royal blue"], "purple": ["violet"], "pink": ["rose"],
    "brown": ["chocolate"], "black": ["dark"], "white": ["ivory"], "grey": ["gray", "silver"],
    "striped": ["with stripes", "stripy"], "dotted": ["polka dot", "spotted"],
    "checkered": ["checked", "chequered"], "small": ["little", "tiny"], "large": ["big", "huge"],
    "grass": ["lawn", "meadow"], "sand": ["beach", "desert"], "snow": ["winter ground"],
    "water": ["the sea", "waves"], "bricks": ["brick wall"], "wood": ["wooden table", "planks"],
    "night sky": ["starry night", "night"], "concrete": ["pavement", "cement floor"],
}  # fmt: skip
USELESS = (
    "IMG_{n}.jpg", "DSC_{n}", "image {n}", "buy now free shipping", "click to enlarge", "photo", "untitled",
    "product picture {n}", "thumbnail", "Best price guaranteed! Order today", "logo", "my holiday {n}",
    "slide {n} of 9999",
)  # fmt: skip
TAILS = (
    " | ShapeShop",
    " - stock photo",
    " wallpaper hd",
    " #art #design",
    " (2 pack)",
    ", free vector",
    " by user{n}",
    "!!",
)


def _number(rng: Rng) -> int:
    return int(rng.integers(1000, 9999))


def _word(rng: Rng, word: str, plain: float) -> str:
    """The plain word with the given probability, otherwise one of its synonyms."""
    if rng.random() < plain or word not in SYNONYMS:
        return word
    return pick(rng, SYNONYMS[word])


def _changed(rng: Rng, thing: Thing) -> Thing:
    """The thing with one attribute wrong."""
    name, words = (("shape", SHAPES), ("colour", COLOURS), ("texture", TEXTURES))[int(rng.integers(3))]
    wrong = pick(rng, [word for word in words if word != getattr(thing, name)])
    return replace(thing, **{name: wrong})


# --- AltText -----------------------------------------------------------------------------------------------


def _alt_thing(rng: Rng, thing: Thing) -> str:
    words = [_word(rng, thing.colour, 0.5)] if rng.random() < 0.75 else []
    if thing.texture != "plain" and rng.random() < 0.35:
        words.insert(0, _word(rng, thing.texture, 0.5))
    return " ".join([*words, _word(rng, thing.shape, 0.5)])


def _alt_partial(rng: Rng, scene: Scene) -> str:
    text = _alt_thing(rng, scene.things[int(rng.integers(len(scene.things)))])
    return text + pick(rng, TAILS).format(n=_number(rng)) if rng.random() < 0.4 else text


def _alt_full(rng: Rng, scene: Scene) -> str:
    text = pick(rng, (" and ", " with ", " & ", ", ")).join(_alt_thing(rng, thing) for thing in scene.things)
    where = pick(rng, (" on {}", ", {} background", " / {}", " over {}"))
    return text + where.format(_word(rng, scene.background, 0.5)) if rng.random() < 0.6 else text


def _alt_keywords(rng: Rng, scene: Scene) -> str:
    words = [_alt_thing(rng, thing) for thing in scene.things] + [
        scene.background,
        pick(rng, COLOURS),
        "vector",
        "hd",
    ]
    return ", ".join(words[i] for i in rng.permutation(len(words)))


def _alt_wrong(rng: Rng, scene: Scene) -> str:
    return _alt_thing(rng, _changed(rng, scene.things[0])) + " on " + pick(rng, BACKGROUNDS)


def alttext(rng: Rng, scene: Scene) -> str:
    """What the page says: 25 % nothing, 40 % a part, 15 % most, 12 % keywords, 8 % something wrong."""
    roll = rng.random()
    if roll < 0.25:
        return pick(rng, USELESS).format(n=_number(rng))
    writer = (
        _alt_partial
        if roll < 0.65
        else _alt_full
        if roll < 0.80
        else _alt_keywords
        if roll < 0.92
        else _alt_wrong
    )
    text = writer(rng, scene)
    return text.upper() if rng.random() < 0.06 else text


# --- VeCap -------------------------------------------------------------------------------------------------


def _vecap_thing(thing: Thing) -> str:
    texture = "" if thing.texture == "plain" else f"{thing.texture} "
    where = "in the centre" if thing.spot == "centre" else f"on the {thing.spot}"
    return f"a {thing.size} {texture}{thing.colour} {thing.shape} {where}"


def _vecap_seen(rng: Rng, scene: Scene) -> list[Thing]:
    """The things as the model sees them: one in 15 % of the groups overlooked, 12 % misread."""
    things = [_changed(rng, thing) if rng.random() < 0.12 else thing for thing in scene.things]
    if len(things) > 1 and rng.random() < 0.15:
        del things[int(rng.integers(len(things)))]
    return things


def vecap(rng: Rng, scene: Scene) -> str:
    """What a recaptioner writes: complete sentences, always built the same way, with its own mistakes."""
    things = _vecap_seen(rng, scene)
    text = "The image shows " + ", and ".join(_vecap_thing(thing) for thing in things)
    background = pick(rng, BACKGROUNDS) if rng.random() < 0.08 else scene.background
    return f"{text}, against a background of {background}."


# --- references --------------------------------------------------------------------------------------------


def _person_thing(rng: Rng, thing: Thing) -> str:
    words = [_word(rng, thing.colour, 0.7), _word(rng, thing.shape, 0.7)]
    if thing.texture != "plain" and rng.random() < 0.7:
        words.insert(0, thing.texture)
    if thing.size != "medium" and rng.random() < 0.5:
        words.insert(0, _word(rng, thing.size, 0.6))
    return " ".join(words)


def reference(rng: Rng, scene: Scene) -> str:
    """What a person asked to describe the picture writes: all objects, mostly plain words, loose grammar."""
    joint = pick(rng, (" and a ", " beside a ", " with a "))
    things = joint.join(_person_thing(rng, thing) for thing in scene.things)
    frame = pick(
        rng, ("there is a {things} on {place}", "a {things} in front of {place}", "{place} and a {things}")
    )
    text = frame.format(things=things, place=_word(rng, scene.background, 0.7))
    return re.sub(r"\ba (?=[aeiou])", "an ", text)
