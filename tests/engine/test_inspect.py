"""`engine.inspect` shows what was packed, on any terminal and on none."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from build_corpus import build_dataset, make_tars, run_command

from engine.build.inspection import Screen, choose, find_keys, show_sample
from engine.errors import UserError
from engine.shards.reader import open_dataset
from engine.terminal import draw


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inspect")
    build_dataset(make_tars(folder / "tars", tars=2), folder / "out")
    return folder / "out"


def test_shows_captions_tokens_and_image(built: Path) -> None:
    result = run_command("inspect", built, "--terminal", "--count", "2")
    assert result.returncode == 0, result.stderr
    assert "\x1b" not in result.stdout  # a pipe is no terminal
    assert "[8 tokens] picture number 1 of a gradient" in result.stdout
    assert "jpeg, 48 x 49" in result.stdout


def test_finds_keys_across_shards(built: Path) -> None:
    dataset = open_dataset(built)
    keys = [dataset.sample(at)["key"] for at in (len(dataset) - 1, 3)]
    assert find_keys(dataset, keys) == [len(dataset) - 1, 3]
    with pytest.raises(UserError, match="no sample has this key"):
        find_keys(dataset, ["nobody"])


def test_random_choice_follows_the_seed() -> None:
    assert choose(1000, 0, 5, 3) == choose(1000, 0, 5, 3) != choose(1000, 0, 5, 4)
    assert sorted(choose(5, 0, 9, 1)) == [0, 1, 2, 3, 4]
    assert choose(10, -2, 5, None) == [8, 9]
    with pytest.raises(UserError, match="samples 0 to 9"):
        choose(10, 10, 1, None)


def test_half_blocks_are_two_pixels_each() -> None:
    image = np.zeros((4, 4, 3), np.uint8)
    image[:2] = (255, 0, 0)
    image[2:] = (0, 0, 255)
    lines = draw(image, 4, 2, colour=True).split("\n")
    cell = re.compile(r"\x1b\[38;2;(\d+);(\d+);(\d+)m\x1b\[48;2;(\d+);(\d+);(\d+)m\u2580")
    assert [len(cell.findall(line)) for line in lines] == [4, 4]
    assert cell.findall(lines[0])[0] == ("255", "0", "0", "255", "0", "0")


@pytest.mark.parametrize("shape", [(1, 1000, 3), (1000, 1, 3), (3, 3, 3)])
@pytest.mark.parametrize("colour", [True, False])
def test_drawings_fit(shape: tuple[int, int, int], colour: bool) -> None:
    drawn = re.sub(r"\x1b\[[\d;]*m", "", draw(np.full(shape, 200, np.uint8), 40, 20, colour)).split("\n")
    assert len(drawn) <= 20
    assert max(map(len, drawn)) <= 40


def test_captions_cannot_steer_the_terminal(built: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = open_dataset(built)
    sample = dataset.sample(0) | {"captions": {"alttext": ["\x1b[2Jgone\nnext \u202e"]}}
    monkeypatch.setattr(dataset, "sample", lambda index: sample)
    shown = show_sample(dataset, 0, Screen(10, 5, False))
    assert "\x1b" not in shown
    assert "\u202e" not in shown
    assert "\\x1b[2Jgone next" in shown
