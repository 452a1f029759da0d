"""The command: a table from any mix of tasks, the same again from the cache, by ranks, past what fails."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.train.run_kit import COMPOSER, TORCHRUN, evaluated, recalls_of, retrieval_of, run
from train.evaluate.__main__ import main

HERE = (sys.executable,)
PROGRAM = ("-m", "train.evaluate")
FILES = ("evaluation.json", "evaluation.md", "report.html")


@pytest.fixture(scope="module")
def colours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Class folders."""
    folder = tmp_path_factory.mktemp("sets") / "colours"
    for name, colour in (("red", (220, 30, 30)), ("green", (30, 200, 30)), ("blue", (40, 60, 230))):
        (folder / name).mkdir(parents=True)
        for at in range(5):
            Image.new("RGB", (64, 48 + at), colour).save(folder / name / f"{at}.png")
    return folder


def words_of(model: Path, out: Path, tasks: str, *more: str) -> list[str]:
    return [str(model), "--tasks", tasks, "--out", str(out), "--cache", str(out.parent / "cache"), *more]


def said_of(capsys: pytest.CaptureFixture[str], words: list[str], code: int) -> str:
    """What the command writes to stderr, in this process."""
    capsys.readouterr()
    assert main(words) == code
    return capsys.readouterr().err


def written(out: Path) -> dict[str, Any]:
    assert sorted(path.name for path in out.iterdir()) == sorted(FILES)
    return dict(json.loads((out / FILES[0]).read_text()))


def metrics(out: Path) -> dict[str, dict[str, float]]:
    return {task["task"]: task["metrics"] for task in written(out)["tasks"]}


def test_the_runs_own_numbers(place: Path, undisturbed: Path, tmp_path: Path) -> None:
    found = evaluated(undisturbed, tmp_path / "out", f"held_out={place / 'test'}")
    assert recalls_of(found) == retrieval_of(undisturbed)
    (task,) = found["tasks"]
    assert task["sizes"] == {"images": 60, "texts": 120}
    assert {"alttext/image_to_text_r@1", "vecap/text_to_image_r@10"} < task["metrics"].keys()


def test_what_is_missing_or_fails_leaves_the_rest(
    place: Path, undisturbed: Path, colours: Path, tmp_path: Path
) -> None:
    """A second command computes nothing, and says the same."""
    shutil.copytree(colours, tmp_path / "broken")
    (tmp_path / "broken" / "red" / "0.png").write_bytes(b"no image")
    tasks = f"imagenet,held_out={place / 'test'},broken={tmp_path / 'broken'},colours={colours}"
    words = words_of(undisturbed, tmp_path / "out", tasks, "--root", str(tmp_path))
    done = run([*HERE, *PROGRAM, *words], code=1)
    assert "missing: imagenet: no folder imagenet, " in done.stderr
    assert f"failed: broken: {tmp_path / 'broken'}: 1 image cannot be used, 0 may" in done.stderr
    first = metrics(tmp_path / "out")
    assert list(first) == ["held_out", "colours"]
    assert set(first["colours"]) == {"single/top_1", "single/mean_per_class_recall"}
    about = written(tmp_path / "out")["about"]
    assert (set(about["missing"]), set(about["failed"])) == ({"imagenet"}, {"broken"})
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").glob("*/*")}
    assert kept
    assert main(words) == 1
    assert metrics(tmp_path / "out") == first
    assert set((tmp_path / "cache").glob("*/*")) == set(kept)

    more = words_of(undisturbed, tmp_path / "more", f"broken={tmp_path / 'broken'}", "--bad-images", "1")
    assert main(more) == 0
    (task,) = written(tmp_path / "more")["tasks"]
    assert task["sizes"] == {"images": 14, "classes": 3}
    assert [reject["key"] for reject in task["rejects"]] == ["red/0.png"]


@pytest.mark.slow
def test_ranks_give_the_same_numbers(place: Path, undisturbed: Path, colours: Path, tmp_path: Path) -> None:
    """By Composer's launcher and by PyTorch's, as alone."""
    tasks = f"held_out={place / 'test'},colours={colours}"
    small = ("--batch-size", "7", "--cache", "none")
    assert main(words_of(undisturbed, tmp_path / "one", tasks, *small)) == 0
    for name, start in (("composer", COMPOSER), ("torchrun", TORCHRUN)):
        done = run([*start, *PROGRAM, *words_of(undisturbed, tmp_path / name, tasks, *small)])
        assert metrics(tmp_path / name) == metrics(tmp_path / "one")
        assert done.stdout.count("written: ") == 1


@pytest.mark.slow
def test_ctrl_c_ends_it_in_one_line_and_the_same_command_goes_on(undisturbed: Path, tmp_path: Path) -> None:
    draws = np.random.default_rng(1)
    for at in range(1000):
        (tmp_path / "noise" / f"c{at % 3}").mkdir(parents=True, exist_ok=True)
        pixels = draws.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "noise" / f"c{at % 3}" / f"{at}.png")
    words = words_of(undisturbed, tmp_path / "out", f"noise={tmp_path / 'noise'}", "--batch-size", "1")
    process = subprocess.Popen([*HERE, *PROGRAM, *words], stderr=subprocess.PIPE, text=True)
    while sum(1 for _ in (tmp_path / "cache").rglob("*.features")) < 5:
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors.splitlines()[-1] == "stopped; the same command goes on from here"
    assert "Traceback" not in errors
    kept = sum(1 for _ in (tmp_path / "cache").rglob("*.features"))
    assert kept < 1000
    assert not (tmp_path / "out").exists()
    assert main(words) == 0
    assert written(tmp_path / "out")["tasks"][0]["sizes"]["images"] == 1000


@pytest.mark.slow
def test_an_error_on_two_ranks_is_said_once_and_ends_both(undisturbed: Path, tmp_path: Path) -> None:
    words = [*COMPOSER, *PROGRAM, *words_of(undisturbed, tmp_path / "out", "imagnet")]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode != 0
    assert done.stderr.count("imagnet: unknown task") == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--tasks", "imagnet"], "error: imagnet: unknown task (did you mean imagenet?"),
        (["--tasks", "imagenet", "--root", "nowhere"], "error: none of the tasks has its data here"),
        (["--tasks", "imagenet", "--compare", "veclip_b16_12"], "did you mean veclip_b16_12m"),
    ],
)
def test_errors_are_one_line(
    undisturbed: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    assert said in said_of(capsys, [str(undisturbed), *words], 1).splitlines()[-1]


def test_a_folder_that_cannot_be_written_is_said_before_the_work(
    undisturbed: Path, colours: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [str(undisturbed), "--tasks", f"colours={colours}", "--out", "/proc/evaluation"]
    said = said_of(capsys, words, 1)
    assert said.startswith("error: --out /proc/evaluation: cannot be written (")
    assert said.count("\n") == 1


def test_weights_that_are_not_ours(
    undisturbed: Path, colours: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "vit.pt").touch()
    words = ["--tasks", f"colours={colours}", "--out", str(tmp_path / "out")]
    assert "ARCHITECTURE --pretrained" in said_of(capsys, [str(tmp_path / "vit.pt"), *words], 1)
    more = [str(undisturbed), *words, "--pretrained", "openai"]
    assert "--pretrained openai: " in said_of(capsys, more, 1)


def test_a_model_that_is_none(tmp_path: Path, colours: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = said_of(capsys, [str(tmp_path), "--tasks", f"x={colours}"], 1)
    assert said.startswith(f"error: model {tmp_path}: holds neither latest-rank0.pt")
    run([*HERE, *PROGRAM], code=2)


def test_the_list_names_tasks_groups_and_published_models(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list"]) == 0
    said = capsys.readouterr().out
    for part in (
        "  imagenet: ",
        "clip-benchmark/wds_vtab-pets",
        "  vtab: caltech101, ",
        "  veclip_b16_12m: ",
    ):
        assert part in said
