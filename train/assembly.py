"""A run put together from its config: loader, model, Trainer and what is hung on it."""

from __future__ import annotations

import dataclasses
import functools
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import torch
import yaml
from composer import DataSpec, Trainer
from composer.core import Algorithm
from composer.utils import dist, get_device

from loaders.loader import CaptionLoader, build_loader
from train.attachments import algorithms, callbacks, console, keepers, loggers
from train.config import TrainConfig, to_yaml
from train.heldout import probes
from train.heldout.probes import Probes
from train.keeping import checkpoints
from train.keeping.beginning import Beginning, choose_beginning
from train.keeping.folder import check_folder, run_folder, save_card
from train.keeping.remote import Mirror, RemoteFolder, is_remote
from train.model.architecture import resolve_architecture
from train.model.average import AverageWeights
from train.model.building import build_model, check_machine, evaluated
from train.model.contrastive import ContrastiveModel, Normalisation
from train.model.optim import Plan, build_optimizer, build_schedule, make_plan
from train.model.precision import resolve_precision, trainer_precision
from train.session import Session
from train.stopping import StopAfterCheckpoint, StopNotice, save_schedule
from train.together import on_first
from train.watch.clock import Clock
from train.watch.console import data_line, model_line, run_line
from train.watch.work import Watch, work_of


@dataclass(frozen=True)
class RunFiles:
    """Attributes: folder, where a run's files go, or None; mirror, which copies them to a store (rank 0)."""

    folder: Path | None
    beginning: Beginning
    mirror: Mirror | None


def open_session(config: TrainConfig) -> Session:
    """Builds everything; nothing has been trained yet.

    Raises:
        UserError: the data, the model or the folder do not fit the config.
    """
    device = get_device(None)
    dist.initialize_dist(device, timeout=config.dist_timeout)
    _share_cores()
    precision = check_machine(config)
    folder = run_folder(config)
    check_folder(config, folder)
    files = RunFiles(folder, choose_beginning(config, folder), _mirror(config, folder))
    loader = build_loader(config.data)
    card = _card(config)
    model = build_model(config, card, precision, starts=files.beginning.load_path is None)
    plan = make_plan(config.max_duration, config.global_train_batch_size, len(loader))
    save_card(config, folder, card)
    watch = Watch(Clock(), StopNotice(), work_of(model, card.architecture, precision))
    added = algorithms(config, watch.notice, folder, model, plan)
    average = next((a for a in added if isinstance(a, AverageWeights)), None)
    held_out = dataclasses.replace(
        probes.open_probes(model, card, precision, config.retrieval, config.zeroshot),
        weights=functools.partial(evaluated, model, average),
    )
    described = model_line(watch.work)  # before FSDP takes the parameters apart
    trainer = _trainer(config, loader, model, plan, files, held_out, added, watch)
    if int(trainer.state.timestamp.batch) == 0:
        trainer.logger.log_hyperparameters(checkpoints.flat(yaml.safe_load(to_yaml(config))))
    if dist.get_global_rank() == 0:
        step = int(trainer.state.timestamp.batch)
        facts = (data_line(plan, loader.dataset.info.samples, step), held_out.line())
        print(run_line(config, plan), described, *facts, sep="\n", file=sys.stderr, flush=True)
    return Session(config, trainer, model, plan, folder, held_out, watch, files.mirror)


def _trainer(
    config: TrainConfig,
    loader: CaptionLoader,
    model: ContrastiveModel,
    plan: Plan,
    files: RunFiles,
    held_out: Probes,
    added: list[Algorithm],
    watch: Watch,
) -> Trainer:
    folder = files.folder
    optimizer = build_optimizer(model, config.optimizer)
    return Trainer(
        model=model,
        train_dataloader=DataSpec(loader, get_num_samples_in_batch=lambda batch: len(batch["image"])),
        max_duration=f"{plan.total}ba",
        optimizers=optimizer,
        schedulers=build_schedule(optimizer, config.schedule, plan),
        step_schedulers_every_batch=True,
        algorithms=added,
        callbacks=[
            *callbacks(config, loader, plan, held_out, watch),
            *keepers(config, folder, files.mirror),
            StopAfterCheckpoint(watch.notice),
        ],
        loggers=[*loggers(config, folder), *console(config, plan, held_out, watch)],
        precision=trainer_precision(resolve_precision(config.precision)),
        seed=config.seed,
        run_name=config.run_name,
        progress_bar=config.progress_bar,
        save_folder=None if folder is None else str(folder),
        save_interval=save_schedule(config.save_interval, watch.notice),
        save_num_checkpoints_to_keep=config.save_num_checkpoints_to_keep,
        save_overwrite=config.save_overwrite,
        **dataclasses.asdict(files.beginning),
        dist_timeout=config.dist_timeout,
    )


def _mirror(config: TrainConfig, folder: Path | None) -> Mirror | None:
    """What copies the folder, on rank 0."""
    if folder is None or not is_remote(config.save_folder):
        return None
    return on_first(lambda: Mirror(folder, RemoteFolder(str(config.save_folder))))


def _card(config: TrainConfig) -> checkpoints.ModelCard:
    tokenizer = checkpoints.read_tokenizer(config.data.places()[0].local)
    architecture = resolve_architecture(config.model, tokenizer, config.loss.name)
    return checkpoints.ModelCard(architecture, tokenizer, Normalisation(config.data.mean, config.data.std))


def _share_cores() -> None:
    """On CPUs, gives each of a node's ranks its share: Composer's launcher leaves them all to each."""
    if dist.get_local_world_size() > 1 and not torch.cuda.is_available():
        torch.set_num_threads(max(1, len(os.sched_getaffinity(0)) // dist.get_local_world_size()))
