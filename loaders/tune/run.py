"""From a recipe to the printed recommendation."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from engine.errors import UserError
from engine.native import commit_file
from engine.ui import Progress
from loaders.recipe.data import read_data_recipe
from loaders.tune.candidates import candidates
from loaders.tune.machine import cores_of_a_rank, device_name, device_of_a_rank
from loaders.tune.report import Setting, as_json, as_text
from loaders.tune.search import Found, Search


@dataclass(frozen=True)
class Options:
    """What the command was given; `ranks` None: one for each GPU, or one."""

    recipe: str
    settings: Sequence[str]
    ranks: int | None
    seconds: float
    json: Path | None


def run(options: Options) -> None:
    """Measure and print; after Ctrl-C print what is known by then and raise it again.

    Raises:
        UserError: from the recipe, its data or --json.
    """
    if options.json is not None and not options.json.parent.is_dir():
        raise UserError(f"--json: {options.json}: no folder {options.json.parent}; make it first")
    ranks = options.ranks or torch.cuda.device_count() or 1
    recipe = read_data_recipe(options.recipe, options.settings, ranks)
    device = device_of_a_rank()
    with cores_of_a_rank(ranks) as cores:
        found = Found(recipe, candidates(cores, recipe.num_workers))
        setting = Setting(options.recipe, recipe, ranks, cores, device_name(device))
        try:
            with Progress() as progress:
                Search(found, device, options.seconds, progress.update).run(recipe.batch_size * ranks)
        except (KeyboardInterrupt, SystemExit):
            _show(found, setting, options.json, stopped=True)
            raise
    _show(found, setting, options.json, stopped=False)


def _show(found: Found, setting: Setting, path: Path | None, stopped: bool) -> None:
    print(as_text(found, setting), flush=True)
    if path is not None:
        text = json.dumps(as_json(found, setting, stopped), indent=1)
        commit_file(path, f"{text}\n".encode())
