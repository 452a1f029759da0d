"""A run, exported to open_clip: CLIP_benchmark's own command line gives the numbers of train.evaluate."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from engine.shards.reader import open_dataset
from tests.train.run_kit import ROOT, evaluated, run

TEMPLATES = ("a photo of a {c}.", "{c}", "the colour {c}.")
CLIP_BENCHMARK = str(Path(sys.executable).parent / "clip_benchmark")
SHARD = 25


def write_webdataset(out: Path, rows: Sequence[tuple[bytes, str]], kind: str) -> Path:
    """Images, and beside each what CLIP_benchmark's layout calls `txt` or `cls`."""
    (out / "test").mkdir(parents=True)
    shards = [rows[first : first + SHARD] for first in range(0, len(rows), SHARD)]
    for number, shard in enumerate(shards):
        with tarfile.open(out / "test" / f"{number}.tar", "w") as tar:
            for at, (image, text) in enumerate(shard, number * SHARD):
                add(tar, f"s{at:07d}.jpg", image)
                add(tar, f"s{at:07d}.{kind}", text.encode())
    (out / "test" / "nshards.txt").write_text(f"{len(shards)}\n")
    return out


def add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    tar.addfile(member, io.BytesIO(data))


@pytest.fixture(scope="module")
def sets(place: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run's held-out images: `captions` with all their captions, `grounds` with their colours."""
    folder = tmp_path_factory.mktemp("sets")
    dataset = open_dataset(place / "test")
    samples = [dataset.sample(at) for at in range(len(dataset))]
    texts = ["\n".join(text for own in s["captions"].values() for text in own) for s in samples]
    colours = [s["captions"]["vecap"][0].split()[-1] for s in samples]  # of the ground
    names = sorted(set(colours))
    grounds = [str(names.index(colour)) for colour in colours]
    images = [s["image"] for s in samples]
    captions = write_webdataset(folder / "captions", list(zip(images, texts, strict=True)), "txt")
    (captions / "dataset_type.txt").write_text("retrieval\n")
    classes = write_webdataset(folder / "grounds", list(zip(images, grounds, strict=True)), "cls")
    (classes / "classnames.txt").write_text("\n".join(names) + "\n")
    (classes / "zeroshot_classification_templates.txt").write_text("\n".join(TEMPLATES) + "\n")
    return folder


def clip_benchmark(model: Path, data: Path, task: str, out: Path) -> dict[str, float]:
    words = ["--model", f"local-dir:{model}", "--dataset", f"wds/{data.name}", "--dataset_root", str(data)]
    quiet = ["--no_amp", "--num_workers", "0", "--batch_size", "16", "--recall_k", "1", "5", "10", "--quiet"]
    command = [CLIP_BENCHMARK, "eval", *words, "--task", task, *quiet, "--output", str(out)]
    offline = os.environ | {"HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        command, cwd=ROOT, env=offline, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return dict(json.loads(out.read_text())["metrics"])


def expected(model: Path, sets: Path, out: Path) -> dict[str, dict[str, float]]:
    """CLIP_benchmark's figures under our names."""
    recall = clip_benchmark(model, sets / "captions", "zeroshot_retrieval", out / "captions.json")
    accuracy = clip_benchmark(model, sets / "grounds", "zeroshot_classification", out / "grounds.json")
    directions = {"image_to_text": "text_retrieval_recall", "text_to_image": "image_retrieval_recall"}
    return {
        "captions": {
            f"{ours}_r@{k}": recall[f"{theirs}@{k}"]
            for ours, theirs in directions.items()
            for k in (1, 5, 10)
        },
        "grounds": {
            "own/top_1": accuracy["acc1"],
            "own/top_5": accuracy["acc5"],
            "own/mean_per_class_recall": accuracy["mean_per_class_recall"],
        },
    }


@pytest.mark.slow
def test_its_command_line_gives_our_numbers(undisturbed: Path, sets: Path, tmp_path: Path) -> None:
    model = tmp_path / "open_clip"
    run([sys.executable, "-m", "train.export", str(undisturbed), "--to", "open_clip", "--out", str(model)])
    tasks = ",".join(f"{name}={sets / name}" for name in ("captions", "grounds"))
    theirs = expected(model, sets, tmp_path)
    for name in (undisturbed, model):  # the run and what became of it
        out = tmp_path / f"of_{name.name}"
        found = evaluated(name, out, tasks)["tasks"]
        # Theirs are means in float32.
        assert {task["task"]: task["metrics"] for task in found} == {
            task: pytest.approx(figures, abs=1e-6) for task, figures in theirs.items()
        }
