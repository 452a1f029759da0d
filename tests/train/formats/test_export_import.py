"""The commands: a trained run out and back in, with the same retrieval, and a run that starts from it."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

import pytest

from tests.train.kit import assert_same
from tests.train.run_kit import command, evaluated, losses, recalls_of, retrieval_of, run, weights
from train.export import main as export

import_main = import_module("train.import").main


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["open_clip", "huggingface"])
def test_out_and_in_again(
    place: Path, undisturbed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    """The same weights bit for bit, and the numbers that the run measured, in each format."""
    out, back = tmp_path / "out", tmp_path / "back"
    assert export([str(undisturbed), "--to", kind, "--out", str(out)]) == 0
    assert "README.md" in capsys.readouterr().out
    readme = (out / "README.md").read_text()
    assert '- captions: `{"weights": "uniform"' in readme
    assert "| image_to_text_r@10 |" in readme
    assert import_main([str(out), "--out", str(back)]) == 0
    assert_same(weights(back), weights(undisturbed), 0)
    for model in (back, out):
        found = evaluated(model, tmp_path / f"of_{model.name}", f"held_out={place / 'test'}")
        assert recalls_of(found) == retrieval_of(undisturbed)


@pytest.mark.slow
def test_a_run_starts_from_an_import(place: Path, undisturbed: Path, tmp_path: Path) -> None:
    out, back = tmp_path / "out", tmp_path / "back"
    assert export([str(undisturbed), "--to", "huggingface", "--out", str(out)]) == 0
    assert import_main([str(out), "--out", str(back)]) == 0
    start = [f"load_path={back}/latest-rank0.pt", "load_weights_only=true", "max_duration=2ba"]
    run(command(place, "from", *start, f"save_folder={tmp_path}/run", "optimizer.lr=1e-9"))
    assert losses(tmp_path / "run")[0] < losses(undisturbed)[0] - 0.3


def test_errors_are_one_line(undisturbed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    assert export([str(undisturbed), "--to", "open_clip", "--out", str(tmp_path / "full")]) == 1
    said = capsys.readouterr().err
    assert said == f"error: {tmp_path}/full: already there and not empty; give a new folder\n"
    words = ["-m", "train.import", str(tmp_path), "--out", str(tmp_path / "new")]
    done = run([sys.executable, *words], code=1)
    assert done.stderr == f"error: {tmp_path}/config.json: not found; expected a CLIPModel's folder\n"
