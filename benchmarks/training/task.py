"""What both trainers are asked to do, and their commands."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
OURS, THEIRS = "ours", "open_clip"
RECIPE = "recipe.yaml"
SMALL: Mapping[str, Any] = {
    "embed_dim": 96,
    "vision": {"image_size": 64, "layers": 3, "width": 96, "patch_size": 16, "head_width": 32},
    "text": {"layers": 2, "width": 96, "heads": 3},
}
"""The model of yamls/flickr8k_small.yaml."""


@dataclass(frozen=True)
class Settings:
    """Of the optimisation, the same for both.

    Attributes:
        workers: open_clip's worker processes; here batches are made by threads.
        log_every: steps between lines of the logs.
    """

    batch: int
    epochs: int
    lr: float
    warmup: int
    precision: str
    device: str
    workers: int
    log_every: int


@dataclass(frozen=True)
class Corpus:
    """The same pairs as tar files and as shards; `held_out` has shards only, or there is none.

    Attributes:
        tars: as open_clip's command wants them.
        samples: pairs in them.
    """

    tars: str
    samples: int
    shards: Path
    held_out: Path | None


@dataclass(frozen=True)
class Task:
    """One run of either trainer. `model` is `small` or a name of open_clip's."""

    model: str
    context: int
    seed: int
    settings: Settings
    corpus: Corpus
    folder: Path

    @property
    def steps_per_epoch(self) -> int:
        """Whole batches, as many for each worker process."""
        workers = max(1, self.settings.workers)
        return self.corpus.samples // self.settings.batch // workers * workers

    @property
    def steps(self) -> int:
        """Of the whole run."""
        return self.steps_per_epoch * self.settings.epochs

    @property
    def recipe(self) -> dict[str, Any]:
        """The run as a recipe of train/run.py."""
        s = self.settings
        return {
            "model": dict(SMALL) if self.model == "small" else {"name": self.model},
            "data": {"local": str(self.corpus.shards)},
            "global_train_batch_size": s.batch,
            "max_duration": f"{self.steps}ba",
            "precision": s.precision,
            "seed": self.seed,
            "optimizer": {"lr": s.lr, "betas": [0.9, 0.98], "eps": 1e-6, "weight_decay": 0.2},
            "schedule": {"warmup": f"{s.warmup}ba"},
            "clip_grad_norm": 1.0,
            "save_interval": f"{self.steps}ba",
            "log_interval": s.log_every,
            "run_name": OURS,
            "save_folder": str(self.folder / OURS),
        }

    @property
    def initial(self) -> Path:
        """Folder of the weights that both begin with, in open_clip's layout."""
        return self.folder / "initial"


def ours_command(task: Task) -> list[str]:
    """Writes the recipe and returns the command that trains it."""
    task.folder.mkdir(parents=True, exist_ok=True)
    path = task.folder / RECIPE
    path.write_text(yaml.safe_dump(task.recipe, sort_keys=False), encoding="utf-8")
    # It takes a GPU where there is one.
    hidden = ["env", "CUDA_VISIBLE_DEVICES="] if task.settings.device == "cpu" else []
    return [*hidden, sys.executable, str(ROOT / "train" / "run.py"), str(path)]


def theirs_command(task: Task) -> list[str]:
    """open_clip's trainer; beside the defaults only what the recipe says too."""
    s = task.settings
    options = {
        "model": f"local-dir:{task.initial}",
        "train-data": task.corpus.tars,
        "dataset-type": "webdataset",
        "train-num-samples": task.steps_per_epoch * s.batch,
        "batch-size": s.batch,
        "epochs": s.epochs,
        "lr": s.lr,
        "beta1": 0.9,
        "beta2": 0.98,
        "eps": 1e-6,
        "wd": 0.2,
        "warmup": s.warmup,
        "grad-clip-norm": 1.0,
        "precision": s.precision,
        "device": s.device,
        "workers": s.workers,
        "seed": task.seed,
        "log-every-n-steps": s.log_every,
        "save-frequency": 0,
        "logs": task.folder,
        "name": THEIRS,
    }
    words = [part for name, value in options.items() for part in (f"--{name}", str(value))]
    return [sys.executable, "-m", "benchmarks.training.open_clip_main", *words]
