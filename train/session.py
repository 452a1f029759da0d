"""One run from its config: loader, model and Trainer put together, trained, evaluated and summed up."""

from __future__ import annotations

import dataclasses
import functools
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from composer import DataSpec, Trainer
from composer.core import Algorithm, Callback
from composer.loggers import LoggerDestination
from composer.utils import dist, get_device

from loaders.loader import CaptionLoader, build_loader
from train import checkpoints, retrieval, seals
from train.architecture import resolve_architecture
from train.beginning import Beginning, choose_beginning
from train.callbacks import ClampLogitScale, ConsoleLog, LogLogitScale
from train.config import TrainConfig
from train.folder import check_folder, run_folder, save_card
from train.guard import StepGuard
from train.loggers import JsonLinesLogger, build_loggers
from train.model import ContrastiveModel, Normalisation, build_clip
from train.optim import Plan, build_optimizer, build_schedule, make_plan
from train.precision import resolve_precision, trainer_precision
from train.remote import Mirror, RemoteFolder, is_remote
from train.stopping import StopAfterCheckpoint, StopNotice, StoppedError, save_schedule
from train.texts import CaptionStatistics
from train.throughput import Throughput


@dataclass(frozen=True)
class RunFiles:
    """Attributes: folder, where a run's files go, or None; mirror, which copies them to a store (rank 0)."""

    folder: Path | None
    beginning: Beginning
    mirror: Mirror | None


@dataclass(frozen=True)
class Session:
    """A run ready to start. `folder` is where files beside the checkpoints go, or None."""

    config: TrainConfig
    trainer: Trainer
    model: ContrastiveModel
    plan: Plan
    folder: Path | None
    evaluate: Callable[[], dict[str, float]] | None
    notice: StopNotice
    mirror: Mirror | None

    def run(self) -> bool:
        """Trains to the end (or from where the checkpoint stands), evaluates and prints the summary.

        Returns:
            Whether it came to the end; False after SIGTERM, with a checkpoint of the last step.

        Raises:
            UserError: from the data, such as a damaged shard that cannot be fetched again, or when steps stay
                bad.
        """
        started, before = time.perf_counter(), int(self.trainer.state.timestamp.batch)
        if before < self.plan.total and not self._fit():
            return False
        seconds = time.perf_counter() - started
        table = self.evaluate() if self.evaluate else None
        if dist.get_global_rank() == 0:
            self._report(int(self.trainer.state.timestamp.batch) - before, seconds, table)
        self._close()
        return True

    def _close(self) -> None:
        self.trainer.close()  # type: ignore[no-untyped-call]
        if self.mirror is not None:
            self.mirror.finish()

    def _fit(self) -> bool:
        """Whether training came to its end."""
        try:
            with self.notice.listening():
                self.trainer.fit()
            return True
        except StoppedError as stop:
            self._close()
            if dist.get_global_rank() == 0:
                saved = "a checkpoint is saved, go on with autoresume=true"
                print(
                    f"{stop}; {saved if self.folder else 'nothing is saved (save_folder: null)'}",
                    file=sys.stderr,
                )
            return False

    def _report(self, steps: int, seconds: float, table: dict[str, float] | None) -> None:
        samples = steps * self.plan.global_batch
        print(f"\n{self.config.run_name}: {samples:,} samples in {seconds:,.0f} s", end="")
        print(
            f" ({samples / seconds:,.0f} samples/s), step {self.trainer.state.timestamp.batch.value}"
            if steps
            else ""
        )
        if table is not None:
            self.trainer.logger.log_metrics(retrieval.metric_names(table))
            print(retrieval.format_table(table))
        if self.folder is None:
            return
        if table is not None:
            result = {
                "run_name": self.config.run_name,
                "step": int(self.trainer.state.timestamp.batch),
                **table,
            }
            retrieval.write_results(self.folder / checkpoints.RESULTS, result)
        print(f"run folder: {self.folder} ({', '.join(sorted(p.name for p in self.folder.iterdir()))})")


def open_session(config: TrainConfig) -> Session:
    """Builds everything; nothing has been trained yet.

    Raises:
        UserError: the data, the model or the folder do not fit the config.
    """
    device = get_device(None)
    dist.initialize_dist(device, timeout=config.dist_timeout)
    _share_cores()
    folder = run_folder(config)
    check_folder(config, folder)
    files = RunFiles(folder, choose_beginning(config, folder), _mirror(config, folder))
    loader = build_loader(config.data)
    card = _card(config)
    clip = build_clip(card.architecture, config.seed)
    precision = resolve_precision(config.precision)
    microbatch = config.device_train_microbatch_size
    assert not isinstance(microbatch, str)  # load_config refuses `auto`
    model = ContrastiveModel(
        device.module_to_device(clip), card.normalisation, precision, config.loss, microbatch
    )
    plan = make_plan(config.max_duration, config.global_train_batch_size, len(loader))
    save_card(config, folder, card)
    evaluate = None
    if config.retrieval is not None:
        held_out = dataclasses.replace(
            config.retrieval,
            tokenizer_fingerprint=card.tokenizer.fingerprint,
            tokenizer_name=card.tokenizer.name,
        )
        evaluate = functools.partial(retrieval.evaluate_retrieval, model, held_out, precision)
    notice = StopNotice()
    trainer = _trainer(config, loader, model, plan, files, evaluate, notice)
    return Session(config, trainer, model, plan, folder, evaluate, notice, files.mirror)


def _trainer(
    config: TrainConfig,
    loader: CaptionLoader,
    model: ContrastiveModel,
    plan: Plan,
    files: RunFiles,
    evaluate: Callable[[], dict[str, float]] | None,
    notice: StopNotice,
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
        algorithms=_algorithms(config, notice, folder),
        callbacks=[
            *_callbacks(config, loader, plan, evaluate),
            *_keepers(config, files),
            StopAfterCheckpoint(notice),
        ],
        loggers=_loggers(config, folder),
        precision=trainer_precision(resolve_precision(config.precision)),
        seed=config.seed,
        run_name=config.run_name,
        progress_bar=config.progress_bar,
        save_folder=None if folder is None else str(folder),
        save_interval=save_schedule(config.save_interval, notice),
        save_num_checkpoints_to_keep=config.save_num_checkpoints_to_keep,
        save_overwrite=config.save_overwrite,
        **dataclasses.asdict(files.beginning),
        dist_timeout=config.dist_timeout,
    )


def _algorithms(config: TrainConfig, notice: StopNotice, folder: Path | None) -> list[Algorithm]:
    return [
        ClampLogitScale(),  # type: ignore[no-untyped-call]
        StepGuard(config.clip_grad_norm, config.max_bad_steps, notice, folder),
    ]


def _callbacks(
    config: TrainConfig, loader: CaptionLoader, plan: Plan, evaluate: Callable[[], dict[str, float]] | None
) -> list[Callback]:
    callbacks: list[Callback] = [
        Throughput(config.log_interval, loader, plan),
        LogLogitScale(config.log_interval),
        CaptionStatistics(config.log_interval, loader.dataset.info.pad_id),
    ]
    if not config.progress_bar:
        callbacks.append(ConsoleLog(config.log_interval, plan))
    if config.eval_interval is not None and evaluate is not None:
        callbacks.append(retrieval.RetrievalCallback(config.eval_interval, evaluate))
    return callbacks


def _mirror(config: TrainConfig, folder: Path | None) -> Mirror | None:
    if folder is None or not is_remote(config.save_folder) or dist.get_global_rank() != 0:
        return None
    return Mirror(folder, RemoteFolder(str(config.save_folder)))


def _keepers(config: TrainConfig, files: RunFiles) -> list[Callback]:
    if files.folder is None:
        return []
    send = None if files.mirror is None else files.mirror.send
    return [seals.SealCheckpoints(files.folder, config.save_num_checkpoints_to_keep, send)]


def _loggers(config: TrainConfig, folder: Path | None) -> list[LoggerDestination]:
    wanted = config.loggers
    loggers = build_loggers(
        {"tensorboard": wanted.tensorboard, "wandb": wanted.wandb, "mlflow": wanted.mlflow}
    )
    if wanted.file and folder is not None:
        loggers.append(JsonLinesLogger(folder / "log.jsonl"))
    return loggers


def _card(config: TrainConfig) -> checkpoints.ModelCard:
    tokenizer = checkpoints.read_tokenizer(config.data.places()[0].local)
    architecture = resolve_architecture(config.model, tokenizer, config.loss.name)
    return checkpoints.ModelCard(architecture, tokenizer, Normalisation(config.data.mean, config.data.std))


def _share_cores() -> None:
    """On CPUs, gives each of a node's ranks its share: Composer's launcher leaves them all to each."""
    if dist.get_local_world_size() > 1 and not torch.cuda.is_available():
        torch.set_num_threads(max(1, len(os.sched_getaffinity(0)) // dist.get_local_world_size()))
