"""Checkpoint law: stop after any batch, resume; the continuation is identical. By hand and by Composer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from composer import Callback, ComposerModel, Logger, State, Trainer
from composer.optim import DecoupledSGDW
from torch import Tensor

from loaders.loader import Batch, CaptionLoader, DataConfig, build_loader
from tests.loaders.corpus import Sample, write_dataset

BATCHES = 4  # an epoch
EPOCHS = 2


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory, samples: list[Sample]) -> DataConfig:
    folder = write_dataset(tmp_path_factory.mktemp("resume"), samples[: BATCHES * 8])
    return DataConfig(str(folder), batch_size=8, image_size=8, seed=3, threads=1, prefetch=3, dtype="float32")


def content(batch: Batch) -> tuple[Any, ...]:
    """A batch as something that compares."""
    image = batch["image"].numpy().tobytes()
    return tuple(batch["key"]), batch["text"].numpy().tobytes(), batch["caption_source"].tolist(), image


def run(loader: CaptionLoader, epochs: int) -> list[tuple[Any, ...]]:
    return [content(batch) for _ in range(epochs) for batch in loader]


@pytest.mark.parametrize("workers", [0, 2])
def test_resuming_after_any_batch_continues_identically(settings: DataConfig, workers: int) -> None:
    settings = replace(settings, num_workers=workers)
    expected = run(build_loader(settings), EPOCHS)
    assert len(expected) == EPOCHS * BATCHES
    points = range(1, EPOCHS * BATCHES + 1) if not workers else (1, BATCHES, BATCHES + 2)
    for stop in points:
        interrupted = build_loader(settings)
        _take(interrupted, stop)
        state = interrupted.state_dict()
        assert state is not None
        resumed = build_loader(settings)
        resumed.load_state_dict(state)
        # A stop after the last batch resumes into an epoch with nothing left.
        left = EPOCHS - (stop - 1) // BATCHES
        assert run(resumed, left) == expected[stop:], stop


def test_resuming_twice_in_one_epoch_continues_identically(settings: DataConfig) -> None:
    expected = run(build_loader(settings), EPOCHS)
    first = build_loader(settings)
    _take(first, 1)
    second = build_loader(settings)
    second.load_state_dict(first.state_dict() or {})
    _take(second, 2)
    third = build_loader(settings)
    third.load_state_dict(second.state_dict() or {})
    assert run(third, EPOCHS) == expected[3:]


def _take(loader: CaptionLoader, count: int) -> None:
    """Consume exactly `count` batches over as many epochs as it takes; more have been made ahead by then."""
    batches: Iterator[Batch] = iter(loader)
    for _ in range(count):
        try:
            next(batches)
        except StopIteration:
            batches = iter(loader)
            next(batches)


class Recorder(Callback):
    """Notes the batches that a trainer trains on."""

    def __init__(self) -> None:
        self.seen: list[tuple[Any, ...]] = []

    def batch_start(self, state: State, logger: Logger) -> None:
        self.seen.append(content(state.batch))


class Mean(ComposerModel):
    """The smallest model that takes our batches."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(()))

    def forward(self, batch: Batch) -> Tensor:
        return self.scale * batch["image"].mean()

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        return outputs


def train(settings: DataConfig, interval: str, folder: Path, load: Path | None) -> list[tuple[Any, ...]]:
    model, recorder = Mean(), Recorder()
    trainer = Trainer(
        model=model,
        train_dataloader=build_loader(settings),
        optimizers=DecoupledSGDW(model.parameters(), lr=1e-3),
        max_duration=f"{EPOCHS}ep",
        callbacks=[recorder],
        save_folder=str(folder),
        save_interval=interval,
        save_filename="ba{batch}-ep{epoch}.pt",
        load_path=str(load) if load else None,
        device="cpu",
        progress_bar=False,
        log_to_console=False,
    )
    trainer.fit()
    trainer.close()
    return recorder.seen


@pytest.mark.filterwarnings("ignore")  # Composer's and torch's own
@pytest.mark.parametrize("interval", ["1ba", "1ep"])
def test_composer_resumes_from_every_checkpoint(settings: DataConfig, tmp_path: Path, interval: str) -> None:
    """Within an epoch and after its last batch (1ba), and between epochs (1ep)."""
    expected = train(settings, interval, tmp_path / "whole", None)
    assert len(expected) == EPOCHS * BATCHES
    checkpoints = [path for path in (tmp_path / "whole").glob("ba*.pt") if not path.is_symlink()]
    assert len(checkpoints) == (EPOCHS * BATCHES if interval == "1ba" else EPOCHS)
    for path in checkpoints:
        done = int(path.name[2:].split("-")[0])
        if done < EPOCHS * BATCHES:
            assert train(settings, interval, tmp_path / path.stem, path) == expected[done:], path.name
