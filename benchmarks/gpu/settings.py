"""How much is measured. Results go on only with the settings that they were begun with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from engine.numbers import cores

SWEEP = (4, 8, 16)
"""Decode threads of the loaders, as far as there are cores."""


@dataclass(frozen=True)
class Settings:
    """Sizes of everything.

    Attributes:
        device: "cuda" or "cpu".
        images: folder of JPEG files, or None to draw some.
        distinct: images; each is stored `repeats` times under other keys, so that an epoch is long.
        compared: images whose pixels are compared.
        seconds: of the clock, for each turn of a loader.
        loader_batch: images in a batch of the loaders.
        threads: numbers of decode threads, ascending.
        rounds: turns of each loader and trainer.
        models: of open_clip's, or "small" (benchmarks.training.task).
        batches: samples a step of each model.
        steps: of each training run, at least.
        precision: of training.
    """

    device: str
    images: str | None
    distinct: int
    repeats: int
    compared: int
    seconds: float
    loader_batch: int
    threads: tuple[int, ...]
    rounds: int
    models: tuple[str, ...]
    batches: tuple[int, ...]
    steps: int
    precision: str

    @property
    def samples(self) -> int:
        """In a data set."""
        return self.distinct * self.repeats


def from_json(fields: dict[str, Any]) -> Settings:
    """The settings in a result file, or in a measuring process's orders."""
    own: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()}
    return Settings(**own)


def choose(device: str, images: str | None, quick: bool, memory_gib: float) -> Settings:
    """Settings for a machine; `quick` checks that everything runs, within a minute or two.

    Args:
        memory_gib: of the card; decides how large a batch is.
    """
    common: dict[str, Any] = {
        "device": device,
        "images": images,
        "precision": "amp_bf16" if device == "cuda" else "fp32",
    }
    if quick:
        return Settings(
            **common, distinct=24, repeats=8, compared=16, seconds=0.5, loader_batch=16,
            threads=(min(2, cores()),), rounds=1, models=("small",), batches=(16,), steps=8,
        )  # fmt: skip
    # Activations of B/16 take about 0.11 GB a sample, those of L/14 about 0.3 GB.
    batches = (512, 256) if memory_gib >= 120 else (256, 128) if memory_gib >= 60 else (64, 32)
    return Settings(
        **common, distinct=3000, repeats=9, compared=256, seconds=4.0, loader_batch=256,
        threads=tuple(sorted({min(count, cores()) for count in SWEEP})), rounds=2,
        models=("ViT-B-16", "ViT-L-14"), batches=batches, steps=48,
    )  # fmt: skip
