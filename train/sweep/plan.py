"""What a sweep file says: a recipe, rows of overrides, seeds, and the columns of the table."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from engine.errors import UserError
from engine.nearest import nearest
from loaders.recipe.sources import read_yaml
from loaders.recipe.strict import build
from train.config import TrainConfig, load_config, to_yaml
from train.keeping.checkpoints import CONFIG, differences

ROW_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+]*(-[A-Za-z0-9._+]+)*")
# Each run has its own; the rest of a recipe is the rows' to set.
DERIVED = ("seed", "run_name", "save_folder", "save_overwrite", "autoresume", "load_path")


@dataclass(frozen=True)
class SweepConfig:
    """A sweep file.

    Attributes:
        recipe: a recipe of train/run.py, from the folder that the command runs in.
        rows: name of a row to its settings: `a.b.c` to a value, which replaces what the recipe has there.
        seeds: of weights, order, captions and crops; each row is run with each.
        baseline: the row that the others are compared with, seed by seed.
        columns: title to an entry of results.json, or to several whose mean is shown.
        compare: the column that differences are shown of.
        settings: for all rows, below their own.
        folder: where the runs and the table go; null: runs/NAME of the file.
        processes: ranks of each run.
    """

    recipe: str
    rows: Mapping[str, Mapping[str, Any]]
    seeds: tuple[int, ...]
    baseline: str
    columns: Mapping[str, str | tuple[str, ...]]
    compare: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    folder: str | None = None
    processes: int = 1

    def __post_init__(self) -> None:
        """Refuse names that do not lead anywhere.

        Raises:
            UserError: naming them.
        """
        for name in self.rows:
            if not ROW_NAME.fullmatch(name):
                raise UserError(f"rows.{name}: expected letters, digits and . _ + -, since it names a folder")
        require(self.baseline, self.rows, "baseline")
        require(self.compare, self.columns, "compare")
        if len(set(self.seeds)) < len(self.seeds) or not self.seeds or min(self.seeds) < 0:
            raise UserError(f"seeds: {list(self.seeds)} given; expected different numbers of at least 0")
        if self.processes < 1:
            raise UserError(f"processes: {self.processes} given; expected at least 1")


@dataclass(frozen=True)
class PlannedRun:
    """One row with one seed. `words` are what train/run.py is given behind the recipe."""

    row: str
    seed: int
    folder: Path
    words: tuple[str, ...]
    config: TrainConfig


@dataclass(frozen=True)
class Sweep:
    """A sweep whose every run is known to have a config that loads. Runs come seed by seed."""

    config: SweepConfig
    folder: Path
    runs: tuple[PlannedRun, ...]


@dataclass(frozen=True)
class Choice:
    """What of a sweep to take: `rows` and `seeds` (empty: all), and words over the settings of all rows."""

    rows: Sequence[str] = ()
    seeds: Sequence[int] = ()
    words: Sequence[str] = ()


def require(name: str, known: Mapping[str, Any], where: str) -> None:
    """Refuses a name that is not known.

    Raises:
        UserError: with the nearest one.
    """
    if name not in known:
        hint = nearest(name, list(known), f"; there are {', '.join(known)}")
        raise UserError(f"{where}: no {name!r}{hint}")


def load_sweep(path: Path, choice: Choice) -> Sweep:
    """Reads a sweep file and the config of every run, before anything is trained.

    Raises:
        UserError: for a name or setting that does not fit, or a folder whose run had other settings.
    """
    config = build(SweepConfig, read_yaml(path))
    for row in choice.rows:
        require(row, config.rows, "--rows")
    folder = Path(config.folder or f"runs/{path.stem}")
    rows = [row for row in config.rows if not choice.rows or row in choice.rows]
    config = replace(config, seeds=tuple(choice.seeds) or config.seeds)
    runs = [_plan(config, folder, row, seed, choice.words) for seed in config.seeds for row in rows]
    for run in runs:
        _check_folder(run)
    return Sweep(config, folder, tuple(runs))


def _plan(config: SweepConfig, folder: Path, row: str, seed: int, words: Sequence[str]) -> PlannedRun:
    name = f"{row}-{seed}"
    given = [*_words(config.settings), *words, *_words(config.rows[row])]
    for word in given:
        if word.partition("=")[0] in DERIVED:
            raise UserError(f"rows.{row}: {word.partition('=')[0]}: cannot be set; each run has its own")
    own = [f"seed={seed}", f"run_name={name}", f"save_folder={folder / name}"]
    try:
        loaded = load_config(config.recipe, [*given, *own], config.processes)
    except UserError as error:
        raise UserError(f"rows.{row}: {error}") from error
    return PlannedRun(row, seed, folder / name, (*given, *own), loaded)


def _words(settings: Mapping[str, Any]) -> list[str]:
    """Settings as words of a command line; JSON is YAML."""
    return [f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in settings.items()]


def _check_folder(run: PlannedRun) -> None:
    """Refuses a folder with a run of other settings: its results would stand for what they are not."""
    saved = run.folder / CONFIG
    if not saved.exists():
        return
    found, wanted = (to_yaml(replace(c, autoresume=False)) for c in (load_config(saved), run.config))
    changes = differences(found, wanted)
    if changes:
        raise UserError(
            f"{run.folder}: holds a run of row {run.row} with other settings ({'; '.join(changes)}); remove "
            "it, or give the sweep another folder"
        )
