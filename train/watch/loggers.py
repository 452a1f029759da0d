"""Loggers by YAML. What a user lacks is named in one line with the command that installs it."""

from __future__ import annotations

import importlib.util
import json
import math
import os
import re
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from composer import loggers as composer_loggers
from composer.core import State
from composer.loggers import Logger, LoggerDestination
from composer.utils import dist

from engine.errors import UserError


class WandB(composer_loggers.WandBLogger):
    """Composer's, with today's W&B: Composer asks a run for `get_url()`, which is the property `url` now."""

    def init(self, state: State, logger: Logger) -> None:
        """Begins the run."""
        from wandb.sdk.wandb_run import Run

        if not hasattr(Run, "get_url"):
            Run.get_url = lambda run: run.url  # type: ignore[attr-defined]
        super().init(state, logger)


class MLFlow(composer_loggers.MLFlowLogger):
    """Composer's, with names that MLflow takes (it refuses all metrics of a step for one `@` among them), and
    one run for all processes of a run."""

    def __init__(self, run_file: Path | None = None, **options: Any) -> None:
        """Take the file that MLflow's id of the run stands in, and Composer's options."""
        super().__init__(**options)
        self._run_file = run_file
        self._goes_on = False

    def _start_mlflow_run(self, state: State) -> None:
        known = self._known_run()
        self._goes_on = known is not None
        with _environment(MLFLOW_RUN_ID, known):
            super()._start_mlflow_run(state)  # type: ignore[no-untyped-call]
        if self._run_file is not None and known is None:
            self._run_file.write_text(f"{self._run_id}\n", encoding="utf-8")

    def _known_run(self) -> str | None:
        """The id of an earlier process's run, where the server still has it."""
        from mlflow.exceptions import MlflowException

        if self._run_file is None or not self._run_file.exists():
            return None
        known = self._run_file.read_text(encoding="utf-8").strip()
        try:
            self._mlflow_client.get_run(known)
        except MlflowException:
            return None
        return known

    def log_hyperparameters(self, hyperparameters: dict[str, Any]) -> None:
        """Once a run: MLflow drops what was logged together with a parameter that changed."""
        if not self._goes_on:
            super().log_hyperparameters(hyperparameters)

    def rename(self, key: str) -> str:
        """`r@1` becomes `r_at_1`, whatever else it refuses an underscore."""
        if key in self.rename_metrics:
            return str(self.rename_metrics[key])
        return re.sub(r"[^\w\-. :/]", "_", key.replace("@", "_at_"), flags=re.ASCII)


OPTIONAL: Mapping[str, tuple[type[LoggerDestination], str]] = {
    "tensorboard": (composer_loggers.TensorboardLogger, "tensorboard"),
    "wandb": (WandB, "wandb"),
    "mlflow": (MLFlow, "mlflow"),
}

RUN_ID, MLFLOW_RUN = "run_id", "mlflow_run_id"
MLFLOW_RUN_ID = "MLFLOW_RUN_ID"  # of the environment: the run to go on with


class JsonLinesLogger(LoggerDestination):
    """Appends {"step", "time", metrics ...} a line, one line per step that logged more than Composer's
    clock."""

    def __init__(self, path: Path) -> None:
        """Opens nothing yet; `path`'s folder is made when training begins. Rank 0 writes."""
        self.path = path
        self.file: IO[str] | None = None
        self.pending: dict[str, float] = {}
        self.step = 0

    def init(self, state: State, logger: Logger) -> None:
        """Opens the file, keeping what an earlier part of the run wrote."""
        if dist.get_global_rank() == 0:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.file = self.path.open("a", encoding="utf-8")
            if _is_torn(self.path):  # the machine went down in the middle of a line
                self.file.write("\n")

    def fit_start(self, state: State, logger: Logger) -> None:
        """Notes where this process begins, and where the run is to end: a resumed run shows in its log."""
        step = int(state.timestamp.batch)
        total = float("nan") if state.max_duration is None else float(state.max_duration.value)
        self.log_metrics({"run/began": step, "run/steps": total}, step)

    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Collects numbers until the step is over."""
        if step is not None and step != self.step:
            self._write()
            self.step = step
        self.pending.update({k: float(v) for k, v in metrics.items() if not k.startswith("time/")})

    def _write(self) -> None:
        if self.file is not None and self.pending:
            line = {"step": self.step, "time": round(time.time(), 3), **self.pending}
            # JSON has no numbers that are not finite.
            self.file.write(
                json.dumps({k: v if math.isfinite(v) else str(v) for k, v in line.items()}) + "\n"
            )
            self.file.flush()
        self.pending = {}

    def close(self, state: State, logger: Logger) -> None:
        """Writes the last line."""
        self._write()
        if self.file is not None:
            self.file.close()
            self.file = None


@contextmanager
def _environment(name: str, value: str | None) -> Iterator[None]:
    """Set a variable meanwhile, unless the user has."""
    if value is None or name in os.environ:
        yield
        return
    os.environ[name] = value
    try:
        yield
    finally:
        del os.environ[name]


def _is_torn(path: Path) -> bool:
    with path.open("rb") as file:
        if file.seek(0, os.SEEK_END) == 0:
            return False
        file.seek(-1, os.SEEK_END)
        return file.read() != b"\n"


def build_loggers(
    options: Mapping[str, Mapping[str, Any] | None], folder: Path | None = None
) -> list[LoggerDestination]:
    """Composer's own loggers by name ("tensorboard", "wandb", "mlflow"); None is off.

    Args:
        options: of each, as the recipe gives them.
        folder: of the run; loggers write there unless told otherwise, and a run that goes on there is
            one run to them: W&B's id stands in `run_id`, MLflow's in `mlflow_run_id`.

    Raises:
        UserError: a package is missing, or the logger refuses its options.
    """
    wanted = {name: given for name, given in options.items() if given is not None}
    for name in wanted:
        _require(name)
    if folder is not None and wanted:
        wanted = _placed(wanted, folder)
    return [_optional(name, given) for name, given in wanted.items()]


def _require(name: str) -> None:
    package = OPTIONAL[name][1]
    if importlib.util.find_spec(package) is None:
        raise UserError(f"loggers.{name}: the package {package} is not installed; pip install {package}")


def _placed(wanted: Mapping[str, Mapping[str, Any]], folder: Path) -> dict[str, Mapping[str, Any]]:
    """The options with where to write and which run to go on with."""
    path = folder / RUN_ID
    if not path.exists() and dist.get_global_rank() == 0:
        folder.mkdir(parents=True, exist_ok=True)
        path.write_text(secrets.token_hex(8) + "\n", encoding="utf-8")
    own: dict[str, Mapping[str, Any]] = {
        "tensorboard": {"log_dir": str(folder / "tensorboard")},
        "mlflow": {"run_file": folder / MLFLOW_RUN},
    }
    if dist.get_global_rank() == 0:
        identity = {"id": path.read_text(encoding="utf-8").strip(), "resume": "allow", "dir": str(folder)}
        given = wanted.get("wandb", {}).get("init_kwargs") or {}
        own["wandb"] = {"init_kwargs": {**identity, **given}}
    # W&B's options hold others, in which what is given counts; elsewhere it counts as a whole.
    return {
        name: {**options, **own.get(name, {})} if name == "wandb" else {**own[name], **options}
        for name, options in wanted.items()
    }


def _optional(name: str, options: Mapping[str, Any]) -> LoggerDestination:
    try:
        logger: LoggerDestination = OPTIONAL[name][0](**options)
    except Exception as error:  # of the packages' own kinds as well
        raise UserError(f"loggers.{name}: {' '.join(str(error).split())}") from error
    return logger
