"""The demo's corpus: same from the same seed, files are what they say, captions keep their proportions."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, UnidentifiedImageError

from demo.captions import USELESS, alttext, reference, vecap
from demo.corpus import BROKEN_EVERY, Split, make_picture, make_split
from demo.scene import HIDDEN_COLOURS, SHAPES, draw_scene

SMALL = Split("train", 0, 2 * BROKEN_EVERY, writer="vecap", hostile=True)


def test_a_picture_follows_from_the_seed_alone(tmp_path: Path) -> None:
    (tmp_path / "a/images").mkdir(parents=True)
    (tmp_path / "b/images").mkdir(parents=True)
    for index in (0, 7, BROKEN_EVERY - 1):
        first = make_picture(SMALL, tmp_path / "a", index)
        assert first == make_picture(SMALL, tmp_path / "b", index)
        assert (tmp_path / "a" / first["image"]).read_bytes() == (
            tmp_path / "b" / first["image"]
        ).read_bytes()


def test_all_files_open_except_the_broken_ones(tmp_path: Path) -> None:
    with make_split(SMALL, tmp_path, report=lambda line: None).open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == SMALL.pictures
    broken = []
    for index, row in enumerate(rows):
        try:
            with Image.open(tmp_path / row["image"]) as image:
                image.convert("RGB")
        except (OSError, UnidentifiedImageError):
            broken.append(index)
    assert broken == [BROKEN_EVERY - 1, 2 * BROKEN_EVERY - 1]


def test_a_finished_split_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("kept")
    assert make_split(SMALL, tmp_path, report=lambda line: None).read_text() == "kept"


def test_objects_can_be_seen_before_their_background() -> None:
    rng = np.random.default_rng(0)
    for _ in range(500):
        scene = draw_scene(rng)
        assert all(thing.colour not in HIDDEN_COLOURS[scene.background] for thing in scene.things)


def test_captions_keep_the_proportions_that_the_readme_states() -> None:
    rng = np.random.default_rng(1)
    heads = {text.split("{")[0].lower() for text in USELESS if text.split("{")[0]}
    scenes = [draw_scene(rng) for _ in range(4000)]
    useless = sum(any(alttext(rng, scene).lower().startswith(head) for head in heads) for scene in scenes)
    assert useless / len(scenes) == pytest.approx(0.25, abs=0.04)
    complete = sum(all(thing.shape in vecap(rng, scene) for thing in scene.things) for scene in scenes)
    assert 0.75 < complete / len(scenes) < 0.95


def test_vecap_is_uniform_in_style_and_references_are_not() -> None:
    rng = np.random.default_rng(2)
    scenes = [draw_scene(rng) for _ in range(200)]
    assert {vecap(rng, scene).split(" a ")[0] for scene in scenes} == {"The image shows"}
    texts = [reference(rng, scene) for scene in scenes]
    assert len({text.split()[0] for text in texts}) > 5
    assert 0 < sum(any(shape in text for shape in SHAPES) for text in texts) <= len(texts)
