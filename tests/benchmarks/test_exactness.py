"""The exactness report: its counts, its exit code, and that an unlisted difference fails it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks import exactness

KEYS = {"files", *exactness.OUTCOMES, "max_diff", "listed_exceptions"}


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Two sound files, one that both sides refuse, one of a format that only Pillow reads."""
    folder = tmp_path / "images"
    (folder / "below").mkdir(parents=True)
    picture = Image.fromarray(np.random.default_rng(1).integers(0, 256, (300, 260, 3), np.uint8))
    for name in ("a.jpg", "below/b.png", "c.gif"):
        picture.save(folder / name)
    (folder / "d.jpg").write_bytes(b"<html>not found</html>")
    return folder


def report(images: Path, tmp_path: Path) -> tuple[int, dict[str, object]]:
    path = tmp_path / "exactness.json"
    code = exactness.main(["--images", str(images), "--json", str(path), "--workers", "1"])
    return code, json.loads(path.read_text())


def test_counts_add_up_and_exceptions_are_named(images: Path, tmp_path: Path) -> None:
    code, found = report(images, tmp_path)
    assert code == 0
    assert found.keys() >= KEYS
    assert (found["files"], found["equal"], found["both_refuse"]) == (4, 2, 1)
    assert (found["only_ours_refuses"], found["differ"], found["max_diff"]) == (1, 0, 0)
    (entry,) = found["listed_exceptions"]
    assert (entry["file"], entry["rule"]) == ("c.gif", "format")
    assert entry["reason"]


def test_an_unlisted_difference_exits_1(images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = exactness.compare((images / "c.gif").read_bytes())
    monkeypatch.setattr(exactness, "find_rule", lambda difference: None)
    unlisted = exactness.compare((images / "c.gif").read_bytes())
    assert (listed.rule, unlisted.rule) == ("format", "")
    monkeypatch.setattr(
        exactness, "compare_folder", lambda folder, workers: iter([unlisted_at(images, unlisted)])
    )
    assert exactness.main(["--images", str(images)]) == 1


def unlisted_at(images: Path, result: exactness.Result) -> exactness.Result:
    return exactness.Result(str(images / "c.gif"), result.outcome, result.detail)


def test_other_pixels_are_seen(images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def brighter(image: object, box: object) -> exactness.Image8:
        return np.minimum(crop(image, box).astype(np.int16) + 1, 255).astype(np.uint8)

    crop = exactness._pillow_crop
    monkeypatch.setattr(exactness, "_pillow_crop", brighter)
    result = exactness.compare((images / "a.jpg").read_bytes())
    assert (result.outcome, result.max_diff, result.rule) == ("differ", 1, "")
    assert result.detail.startswith("crop 0")
