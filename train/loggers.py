"""Loggers by YAML. What a user lacks is named in one line with the command that installs it."""

from __future__ import annotations

import importlib.util
import json
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from composer import loggers as composer_loggers
from composer.core import State
from composer.loggers import Logger, LoggerDestination
from composer.utils import dist

from engine.errors import UserError

OPTIONAL = {
    "tensorboard": ("TensorboardLogger", "tensorboard"),
    "wandb": ("WandBLogger", "wandb"),
    "mlflow": ("MLFlowLogger", "mlflow"),
}


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


def build_loggers(options: Mapping[str, Mapping[str, Any] | None]) -> list[LoggerDestination]:
    """Composer's own loggers by name ("tensorboard", "wandb", "mlflow"); None is off.

    Raises:
        UserError: a package is missing, or the logger refuses its options.
    """
    return [_optional(name, given) for name, given in options.items() if given is not None]


def _optional(name: str, options: Mapping[str, Any]) -> LoggerDestination:
    class_name, package = OPTIONAL[name]
    if importlib.util.find_spec(package) is None:
        raise UserError(f"loggers.{name}: the package {package} is not installed; pip install {package}")
    try:
        logger: LoggerDestination = getattr(composer_loggers, class_name)(**options)
    except (TypeError, ValueError, ImportError) as error:
        raise UserError(f"loggers.{name}: {' '.join(str(error).split())}") from error
    return logger
