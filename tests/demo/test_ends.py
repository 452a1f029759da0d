"""The demo's ends: the table that it prints, and what it says when a step fails."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from demo import run
from demo.corpus import TEST

RECALLS = {
    "alttext": (0.101, 0.202, 0.303, 0.404, 0.505, 0.606),
    "vecap": (0.111, 0.222, 0.333, 0.444, 0.555, 0.666),
    "mixed": (0.121, 0.242, 0.363, 0.484, 0.605, 1.0),
}
KEYS = [f"{direction}_r@{k}" for direction in ("image_to_text", "text_to_image") for k in (1, 5, 10)]


@pytest.fixture
def out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(run, "OUT", tmp_path)
    for name, values in RECALLS.items():
        folder = tmp_path / "runs" / name
        folder.mkdir(parents=True)
        results = {"run_name": name, "images": TEST.pictures, **dict(zip(KEYS, values, strict=True))}
        (folder / "results.json").write_text(json.dumps(results))
    return tmp_path


def test_the_table_has_chance_and_the_three_trainings_in_per_cent(out: Path) -> None:
    directions, head, *lines = run.table().splitlines()
    assert re.split(r"\s{2,}", directions.strip()) == ["image to text", "text to image"]
    assert head.split() == ["trained", "on", *(f"R@{k}" for _ in range(2) for k in (1, 5, 10))]
    rows = {line[:14].strip(): [float(word) for word in line[14:].split()] for line in lines}
    chance = [100 * k / TEST.pictures for _ in range(2) for k in (1, 5, 10)]
    assert list(rows) == ["chance", "AltText only", "VeCap only", "mixed"]
    assert rows["chance"] == pytest.approx(chance, abs=0.05)
    for title, name in {"AltText only": "alttext", "VeCap only": "vecap", "mixed": "mixed"}.items():
        assert rows[title] == pytest.approx([100 * value for value in RECALLS[name]], abs=0.05)
    assert len({len(line) for line in (directions, head, *lines)}) == 1  # columns stand under their heads


def test_a_failing_step_ends_the_demo_with_its_code_and_what_to_do(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        run.call("python", "-c", "import sys; print('error: the disk is full', file=sys.stderr); sys.exit(3)")
    assert stop.value.code == ("demo: the command above failed (exit code 3); run `make demo` again to go on")
    shown = capfd.readouterr()
    assert shown.out.startswith("$ python -c ")
    assert shown.err == "error: the disk is full\n"


def test_a_failing_step_stops_all_that_follow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The whole demo with a table that cannot be packed: no later step is begun."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(run, "ROOT", tmp_path)
    monkeypatch.setattr(run, "start_afresh_if_changed", lambda: None)
    monkeypatch.setattr(run, "make_split", lambda split, folder: folder.mkdir(parents=True))
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    with pytest.raises(SystemExit, match="the command above failed"):
        run.main()
    shown = capfd.readouterr()
    commands = [line for line in shown.out.splitlines() if line.startswith("$ ")]
    assert len(commands) == 1
    assert "engine.shard" in commands[0]
    assert "table.csv" in shown.err


def test_a_finished_training_is_not_begun_again(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[tuple[str, ...]] = []
    monkeypatch.setattr(run, "call", lambda *words: called.append(words))
    run.train("mixed", "data.policy.weights=uniform")
    assert called == []
    (out / "runs" / "mixed" / "results.json").unlink()
    run.train("mixed", "data.policy.weights=uniform")
    assert [words[:2] for words in called] == [("composer", "train/run.py")]
    assert "autoresume=true" in called[0]
