"""On the same batches, from the same weights, open_clip's trainer and ours take the same steps."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from composer import DataSpec, Trainer
from composer.loggers import InMemoryLogger
from torch.utils.data import DataLoader

from benchmarks.training.logs import read_theirs
from benchmarks.training.task import Settings, Task, theirs_command
from train.formats import open_clip_folder
from train.formats.model import Exported
from train.guard import StepGuard
from train.keeping.checkpoints import ModelCard
from train.model.architecture import Architecture, TokenizerFacts
from train.model.contrastive import ContrastiveModel, Normalisation, build_clip
from train.model.optim import OptimizerConfig, Plan, ScheduleConfig, build_optimizer, build_schedule
from train.stopping import StopNotice
from train.watch.callbacks import ClampLogitScale

STEPS, BATCH, CONTEXT, START, END = 12, 16, 10, 998, 999
MEAN, STD = (0.48, 0.46, 0.41), (0.27, 0.26, 0.28)
FACTS = TokenizerFacts("clip", "a" * 64, CONTEXT, 1000, END, 0)
SIZES = Architecture(
    embed_dim=16,
    vision={"image_size": 32, "layers": 2, "width": 32, "patch_size": 8, "head_width": 16},
    text={
        "layers": 2, "width": 32, "heads": 2, "context_length": CONTEXT, "vocab_size": 1000,
        "pool_type": "argmax", "eos_id": END, "pad_id": 0,
    },
    quick_gelu=False,
    init_temperature=0.07,
    grad_checkpointing=False,
)  # fmt: skip


def batches() -> list[dict[str, Any]]:
    draw = torch.Generator().manual_seed(0)
    made = []
    for _ in range(STEPS):
        text = torch.randint(1, START, (BATCH, CONTEXT), generator=draw)
        for row, length in enumerate(torch.randint(3, CONTEXT - 1, (BATCH,), generator=draw).tolist()):
            text[row, 0], text[row, length - 1], text[row, length:] = START, END, 0
        image = torch.randint(0, 256, (BATCH, 3, 32, 32), generator=draw, dtype=torch.uint8)
        made.append({"image": image, "text": text, "key": [""] * BATCH})
    return made


def ours(given: list[dict[str, Any]], clip: Any) -> list[float]:
    """Losses of Composer's Trainer put together as train.assembly does."""
    model = ContrastiveModel(clip, Normalisation(MEAN, STD))
    optimizer = build_optimizer(model, OptimizerConfig(lr=1e-3))
    memory = InMemoryLogger()
    loader: Any = DataLoader(given, batch_size=None)  # type: ignore[arg-type]
    Trainer(
        model=model,
        train_dataloader=DataSpec(loader, get_num_samples_in_batch=lambda batch: len(batch["image"])),
        max_duration=f"{STEPS}ba",
        device_train_microbatch_size=BATCH,
        optimizers=optimizer,
        schedulers=build_schedule(optimizer, ScheduleConfig("4ba"), Plan(BATCH, STEPS, STEPS)),
        step_schedulers_every_batch=True,
        algorithms=[ClampLogitScale(), StepGuard(1.0, 10, StopNotice(), None)],  # type: ignore[no-untyped-call]
        loggers=[memory],
        progress_bar=False,
        save_folder=None,
    ).fit()
    return [float(loss) for _, loss in memory.data["loss/train/total"]]


def theirs(given: list[dict[str, Any]], folder: Path) -> tuple[list[float], dict[str, torch.Tensor]]:
    settings = Settings(BATCH, 1, 1e-3, 4, "fp32", "cpu", 0, 1)
    corpus: Any = type("C", (), {"samples": BATCH * STEPS, "tars": "none.tar"})
    words = theirs_command(Task("tiny", CONTEXT, 1, settings, corpus, folder))
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (MEAN, STD))
    pairs = [((batch["image"].float() / 255 - mean) / std, batch["text"]) for batch in given]
    torch.save(pairs, folder / "batches.pt")
    peer = [sys.executable, "-m", "tests.benchmarks.open_clip_on_batches", str(folder / "batches.pt")]
    done = subprocess.run(
        [*peer, *words[3:]], capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2]
    )
    assert done.returncode == 0, done.stderr[-3000:]
    state = torch.load(folder / "open_clip" / "checkpoints" / "epoch_1.pt", weights_only=True)["state_dict"]
    return list(read_theirs(folder / "open_clip" / "out.log", BATCH, 0).losses.values()), state


@pytest.mark.slow
def test_the_same_batches_give_the_same_steps(tmp_path: Path) -> None:
    """Loss, AdamW and its groups, clipping, warm-up and cosine, logit scale: whatever differed would show."""
    pytest.importorskip("open_clip_train")
    given, clip = batches(), build_clip(SIZES, seed=3)
    card = ModelCard(SIZES, FACTS, Normalisation(MEAN, STD))
    open_clip_folder.write(Exported(clip, card), tmp_path / "initial")
    found, state = theirs(given, tmp_path)
    expected = ours(given, clip)
    assert len(found) == STEPS
    assert expected == pytest.approx(found, abs=1e-3)  # their log has five digits
    assert expected[0] != pytest.approx(expected[-1], abs=1e-2)
    for name, value in clip.state_dict().items():
        torch.testing.assert_close(
            value, state[name], atol=5e-6, rtol=1e-4, msg=lambda m, n=name: f"{n}: {m}"
        )
