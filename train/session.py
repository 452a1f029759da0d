"""One run from its config: loader, model and Trainer put together, trained, evaluated and summed up."""

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
from composer.core import Algorithm, Callback
from composer.loggers import LoggerDestination
from composer.utils import dist, get_device

from loaders.loader import CaptionLoader, build_loader
from train import checkpoints, probes, retrieval, seals
from train.architecture import resolve_architecture
from train.average import AverageWeights
from train.beginning import Beginning, choose_beginning
from train.building import build_model, check_machine, evaluated
from train.callbacks import ClampLogitScale, LogScales
from train.clock import Clock
from train.config import TrainConfig, to_yaml
from train.console import ConsoleLog, Looks, data_line, model_line, run_line
from train.folder import check_folder, run_folder, save_card
from train.guard import StepGuard
from train.loggers import JsonLinesLogger, build_loggers
from train.model import ContrastiveModel, Normalisation
from train.optim import Plan, build_optimizer, build_schedule, check_time, make_plan
from train.precision import resolve_precision, trainer_precision
from train.probes import Probes
from train.remote import Mirror, RemoteFolder, finish_together, is_remote
from train.report import REPORT, write_report
from train.stopping import StopAfterCheckpoint, StopNotice, StoppedError, save_schedule
from train.texts import CaptionStatistics
from train.throughput import Throughput
from train.together import attempt, on_first
from train.work import Watch, work_of


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
    probes: Probes
    watch: Watch
    mirror: Mirror | None

    def run(self) -> bool:
        """Trains to the end (or from where the checkpoint stands), evaluates and prints the summary.

        Returns:
            Whether it came to the end; False after SIGTERM, with a checkpoint of the last step.

        Raises:
            UserError: from the data, such as a damaged shard that cannot be fetched again, or when steps stay
                bad.
        """
        with self.watch.notice.listening():
            try:
                done = self._train_and_measure()
                self.trainer.close()  # type: ignore[no-untyped-call]
            except BaseException as error:
                self._write_page()
                if isinstance(error, Exception):  # who presses Ctrl-C does not want to wait
                    self._copy_what_there_is()
                raise
            self._write_page()
            if is_remote(self.config.save_folder):
                finish_together(self.mirror)
        if not done and dist.get_global_rank() == 0:
            self._tell_stopped()
        return done

    def _copy_what_there_is(self) -> None:
        """Of a run that failed; ranks fail alone, so none waits for another."""
        if self.mirror is not None:
            _, failure = attempt(self.mirror.finish)
            if failure is not None:
                print(f"note: {failure}", file=sys.stderr, flush=True)

    def _train_and_measure(self) -> bool:
        started, before = self.watch.clock.now(), int(self.trainer.state.timestamp.batch)
        try:
            if before < self.plan.total:
                self.trainer.fit()
            seconds = self.watch.clock.now() - started
            table = self.probes.measure(self.watch.notice.between) if self.probes else None
        except StoppedError:
            return False
        if dist.get_global_rank() == 0:
            self._report(int(self.trainer.state.timestamp.batch) - before, seconds, table)
        return True

    def _write_page(self) -> None:
        """The report, of a run that was stopped or failed too; it never fails a run."""
        if self.folder is None or dist.get_global_rank() != 0:
            return
        try:
            write_report([self.folder], self.folder / REPORT)
        except Exception as error:  # whatever it is, the run's own end counts
            print(f"note: no {REPORT}: {error}", file=sys.stderr)

    def _tell_stopped(self) -> None:
        step = int(self.trainer.state.timestamp.batch)
        ended = step >= self.plan.total
        what = "the last evaluation is missing" if ended else "a checkpoint is saved"
        saved = (
            f"{what}, go on with autoresume=true" if self.folder else "nothing is saved (save_folder: null)"
        )
        print(f"{StoppedError(step)}; {saved}", file=sys.stderr, flush=True)

    def _report(self, steps: int, seconds: float, table: dict[str, float] | None) -> None:
        samples = steps * self.plan.global_batch
        print(f"\n{self.config.run_name}: {samples:,} samples in {seconds:,.0f} s", end="")
        print(
            f" ({samples / seconds:,.0f} samples/s), step {self.trainer.state.timestamp.batch.value}"
            if steps
            else ""
        )
        if table is not None:
            self.trainer.logger.log_metrics(probes.metric_names(table))
            print(probes.format_tables(table))
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
    algorithms = _algorithms(config, watch.notice, folder, model, plan)
    average = next((a for a in algorithms if isinstance(a, AverageWeights)), None)
    held_out = dataclasses.replace(
        probes.open_probes(model, card, precision, config.retrieval, config.zeroshot),
        weights=functools.partial(evaluated, model, average),
    )
    described = model_line(watch.work)  # before FSDP takes the parameters apart
    trainer = _trainer(config, loader, model, plan, files, held_out, algorithms, watch)
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
    algorithms: list[Algorithm],
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
        algorithms=algorithms,
        callbacks=[
            *_callbacks(config, loader, plan, held_out, watch),
            *_keepers(config, files),
            StopAfterCheckpoint(watch.notice),
        ],
        loggers=[*_loggers(config, folder), *_console(config, plan, held_out, watch)],
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


def _algorithms(
    config: TrainConfig, notice: StopNotice, folder: Path | None, model: ContrastiveModel, plan: Plan
) -> list[Algorithm]:
    guard = StepGuard(config.clip_grad_norm, config.max_bad_steps, notice, folder)
    algorithms: list[Algorithm] = [ClampLogitScale(), guard]  # type: ignore[no-untyped-call]
    if config.ema is not None:
        half_life = plan.steps(check_time(config.ema.half_life, "ema.half_life"))
        algorithms.append(AverageWeights(model, half_life, guard))
    return algorithms


def _callbacks(
    config: TrainConfig, loader: CaptionLoader, plan: Plan, held_out: Probes, watch: Watch
) -> list[Callback]:
    callbacks: list[Callback] = [
        Throughput(config.log_interval, loader, plan, watch.clock, watch.work),
        LogScales(config.log_interval),
        CaptionStatistics(config.log_interval, loader.dataset.info.pad_id),
    ]
    if config.eval_interval is not None and held_out:
        callbacks.append(
            probes.ProbeCallback(config.eval_interval, held_out, plan.total, watch.clock, watch.notice)
        )
    return callbacks


def _console(config: TrainConfig, plan: Plan, held_out: Probes, watch: Watch) -> list[LoggerDestination]:
    if config.progress_bar:
        return []
    every = None
    if config.eval_interval is not None and held_out:
        every = plan.steps(check_time(config.eval_interval, "eval_interval"))
    return [ConsoleLog(config.log_interval, plan, watch.clock, Looks(every, bool(held_out)))]


def _mirror(config: TrainConfig, folder: Path | None) -> Mirror | None:
    """What copies the folder, on rank 0."""
    if folder is None or not is_remote(config.save_folder):
        return None
    return on_first(lambda: Mirror(folder, RemoteFolder(str(config.save_folder))))


def _keepers(config: TrainConfig, files: RunFiles) -> list[Callback]:
    if files.folder is None:
        return []
    send = None if files.mirror is None else files.mirror.send
    return [seals.SealCheckpoints(files.folder, config.save_num_checkpoints_to_keep, send)]


def _loggers(config: TrainConfig, folder: Path | None) -> list[LoggerDestination]:
    wanted = config.loggers
    loggers = build_loggers(
        {"tensorboard": wanted.tensorboard, "wandb": wanted.wandb, "mlflow": wanted.mlflow}, folder
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
