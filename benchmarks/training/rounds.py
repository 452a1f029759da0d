"""One run of each trainer after the other, from the same weights, and what they left."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass

import torch

from benchmarks.training.logs import Log, read_ours, read_theirs
from benchmarks.training.observe import Pace, observe
from benchmarks.training.task import OURS, RECIPE, THEIRS, Task, ours_command, theirs_command
from loaders.retrieval import RetrievalConfig
from train.config import load_config
from train.formats import open_clip_folder
from train.formats.model import Exported
from train.heldout.retrieval import evaluate_retrieval
from train.keeping.checkpoints import ModelCard, load_model, read_tokenizer
from train.model.architecture import resolve_architecture
from train.model.contrastive import ContrastiveModel, Normalisation, build_clip


@dataclass(frozen=True)
class Run:
    """A run that is over. `recalls` is None without a held-out set."""

    trainer: str
    seed: int
    pace: Pace
    log: Log
    recalls: dict[str, float] | None


def run_round(task: Task, say: Callable[[str], None], ours_first: bool) -> list[Run]:
    """Trains both; ours first or last, so that neither always has the quieter time.

    Raises:
        TrainerFailedError: one of them failed.
    """
    if task.folder.exists():
        shutil.rmtree(task.folder)
    write_initial(task)
    runs = []
    for trainer in (OURS, THEIRS) if ours_first else (THEIRS, OURS):
        run = _run(task, trainer)
        runs.append(run)
        say(f"{task.model}, context {task.context}, seed {task.seed}: {trainer} {_line(run)}")
    return runs


def _line(run: Run) -> str:
    pace = run.pace
    return (
        f"{pace.steps / pace.seconds:.2f} steps/s, {pace.cpu_s / pace.steps:.3f} CPU s a step, "
        f"waiting {run.log.data_wait:.1%}, first line after {pace.start_s:.0f} s"
    )


def write_initial(task: Task) -> None:
    """Writes the weights that train/run.py begins with for this recipe and seed."""
    card = _card(task)
    open_clip_folder.write(Exported(build_clip(card.architecture, task.seed), card), task.initial)


def _card(task: Task) -> ModelCard:
    ours_command(task)
    config = load_config(task.folder / RECIPE)
    tokenizer = read_tokenizer(task.corpus.shards)
    architecture = resolve_architecture(config.model, tokenizer, config.loss.name)
    return ModelCard(architecture, tokenizer, Normalisation(config.data.mean, config.data.std))


def _run(task: Task, trainer: str) -> Run:
    ours = trainer == OURS
    skip = max(task.settings.log_every, task.steps // 10)
    words = ours_command(task) if ours else theirs_command(task)
    pace = observe(words, task.folder / f"{trainer}.txt", task.settings.batch, skip)
    folder = task.folder / trainer
    log = (
        read_ours(folder / "log.jsonl", skip)
        if ours
        else read_theirs(folder / "out.log", task.settings.batch, skip)
    )
    return Run(trainer, task.seed, pace, log, _recalls(task, trainer))


def _recalls(task: Task, trainer: str) -> dict[str, float] | None:
    """Retrieval of the trained model, by our evaluator for both."""
    if task.corpus.held_out is None:
        return None
    card = _card(task)
    model = load_model(task.folder / OURS)[0] if trainer == OURS else _their_model(task, card)
    config = RetrievalConfig(
        local=str(task.corpus.held_out),
        image_size=card.architecture.image_size,
        mean=card.normalisation.mean,
        std=card.normalisation.std,
    )
    table = evaluate_retrieval(model, config)
    return {name: value for name, value in table.items() if "_r@" in name}


def _their_model(task: Task, card: ModelCard) -> ContrastiveModel:
    model = ContrastiveModel(build_clip(card.architecture, task.seed), card.normalisation)
    path = task.folder / THEIRS / "checkpoints" / f"epoch_{task.settings.epochs}.pt"
    state = torch.load(path, map_location="cpu", weights_only=True)["state_dict"]
    model.clip.load_state_dict({name.removeprefix("module."): value for name, value in state.items()})
    return model
