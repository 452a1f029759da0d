"""What is hung on Composer's Trainer: algorithms, callbacks and loggers, from the recipe."""

from __future__ import annotations

from pathlib import Path

from composer.core import Algorithm, Callback
from composer.loggers import LoggerDestination

from loaders.loader import CaptionLoader
from train.config import TrainConfig
from train.guard import StepGuard
from train.heldout import probes
from train.heldout.probes import Probes
from train.keeping import seals
from train.keeping.remote import Mirror
from train.model.average import AverageWeights
from train.model.contrastive import ContrastiveModel
from train.model.optim import Plan, check_time
from train.stopping import StopNotice
from train.watch.callbacks import ClampLogitScale, LogScales
from train.watch.console import ConsoleLog, Looks
from train.watch.loggers import JsonLinesLogger, build_loggers
from train.watch.texts import CaptionStatistics
from train.watch.throughput import Throughput
from train.watch.work import Watch


def algorithms(
    config: TrainConfig, notice: StopNotice, folder: Path | None, model: ContrastiveModel, plan: Plan
) -> list[Algorithm]:
    """Return what acts on each step: the clamp, the guard and, if wanted, the average."""
    guard = StepGuard(config.clip_grad_norm, config.max_bad_steps, notice, folder)
    found: list[Algorithm] = [ClampLogitScale(), guard]  # type: ignore[no-untyped-call]
    if config.ema is not None:
        half_life = plan.steps(check_time(config.ema.half_life, "ema.half_life"))
        found.append(AverageWeights(model, half_life, guard))
    return found


def callbacks(
    config: TrainConfig, loader: CaptionLoader, plan: Plan, held_out: Probes, watch: Watch
) -> list[Callback]:
    """Return what watches: rates, scales, captions, and the probes."""
    found: list[Callback] = [
        Throughput(config.log_interval, loader, plan, watch.clock, watch.work),
        LogScales(config.log_interval),
        CaptionStatistics(config.log_interval, loader.dataset.info.pad_id),
    ]
    if config.eval_interval is not None and held_out:
        found.append(
            probes.ProbeCallback(config.eval_interval, held_out, plan.total, watch.clock, watch.notice)
        )
    return found


def keepers(config: TrainConfig, folder: Path | None, mirror: Mirror | None) -> list[Callback]:
    """Return what seals checkpoints, and has them copied."""
    if folder is None:
        return []
    send = None if mirror is None else mirror.send
    return [seals.SealCheckpoints(folder, config.save_num_checkpoints_to_keep, send)]


def loggers(config: TrainConfig, folder: Path | None) -> list[LoggerDestination]:
    """Return where metrics go, beside the console."""
    wanted = config.loggers
    found = build_loggers(
        {"tensorboard": wanted.tensorboard, "wandb": wanted.wandb, "mlflow": wanted.mlflow}, folder
    )
    if wanted.file and folder is not None:
        found.append(JsonLinesLogger(folder / "log.jsonl"))
    return found


def console(config: TrainConfig, plan: Plan, held_out: Probes, watch: Watch) -> list[LoggerDestination]:
    """Return the console's lines, unless there is Composer's bar."""
    if config.progress_bar:
        return []
    every = None
    if config.eval_interval is not None and held_out:
        every = plan.steps(check_time(config.eval_interval, "eval_interval"))
    return [ConsoleLog(config.log_interval, plan, watch.clock, Looks(every, bool(held_out)))]
