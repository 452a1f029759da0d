"""The commands: a trained run out and back in, with the same retrieval, and a run that starts from it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.train.run_kit import command, evaluated, losses, recalls_of, run


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["open_clip", "huggingface"])
def test_out_and_in_again(place: Path, undisturbed: Path, tmp_path: Path, kind: str) -> None:
    out, back = tmp_path / "out", tmp_path / "back"
    told = run([sys.executable, "-m", "train.export", str(undisturbed), "--to", kind, "--out", str(out)])
    assert "README.md" in told.stdout
    readme = (out / "README.md").read_text()
    assert '- captions: `{"weights": "uniform"' in readme
    assert "| image_to_text_r@10 |" in readme
    run([sys.executable, "-m", "train.import", str(out), "--out", str(back)])
    task = f"held_out={place / 'test'}"
    expected = recalls_of(evaluated(undisturbed, tmp_path / "a", task))
    assert recalls_of(evaluated(back, tmp_path / "b", task)) == expected
    assert recalls_of(evaluated(out, tmp_path / "c", task)) == expected
    start = [f"load_path={back}/latest-rank0.pt", "load_weights_only=true", "max_duration=2ba"]
    run(command(place, "from", *start, f"save_folder={tmp_path}/run", "optimizer.lr=1e-9"))
    assert losses(tmp_path / "run")[0] < losses(undisturbed)[0] - 0.3


def test_errors_are_one_line(undisturbed: Path, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    export = [sys.executable, "-m", "train.export", str(undisturbed), "--to", "open_clip", "--out"]
    done = run([*export, str(tmp_path / "full")], code=1)
    assert done.stderr == f"error: {tmp_path}/full: already there and not empty; give a new folder\n"
    words = ["-m", "train.import", str(tmp_path), "--out", str(tmp_path / "new")]
    done = run([sys.executable, *words], code=1)
    assert done.stderr == f"error: {tmp_path}/config.json: not found; expected a CLIPModel's folder\n"
