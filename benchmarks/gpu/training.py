"""Samples a second of one trainer, with one source of batches."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

from benchmarks.gpu.plan import CEILING, OPEN_CLIP
from benchmarks.gpu.task import CONTEXT, Task
from benchmarks.training import task as trainers
from benchmarks.training.logs import read_theirs
from benchmarks.training.observe import observe
from engine.numbers import cores

LOG_EVERY = 4
MOST_WORKERS = 16
WARM_UP = 0.25
"""Share of the steps that does not count."""
# step 20/48  epoch 0  loss 4.8312 ... 2,100 samples/s  wait 1.2%  MFU 31.0%  left 0:00:10
_OURS = re.compile(r"step (?P<step>\d+)/\d+ .*? wait (?P<wait>[\d.]+)%(?:  MFU (?P<mfu>[\d.]+)%)?")


def measure(task: Task) -> dict[str, Any]:
    """Run the trainer, and read its pace off its lines (benchmarks.training.observe)."""
    run = trainer_task(task)
    log, skip = task.folder / "trainer.txt", skipped(run)
    began = time.time()
    pace = observe(command(task, run), log, run.settings.batch, skip)
    theirs = task.choice["source"] == OPEN_CLIP
    begin = began + pace.begin_s
    return {
        "samples_per_s": run.settings.batch * pace.steps / pace.seconds,
        "batch": run.settings.batch,
        "steps": pace.steps,
        "cpu_s_per_1000": 1000 * pace.cpu_s / (run.settings.batch * pace.steps),
        "start_s": pace.start_s,
        **(their_figures(log, run.settings.batch, skip) if theirs else our_figures(log, skip)),
        "window": (begin, begin + pace.seconds),
    }


def trainer_task(task: Task) -> trainers.Task:
    """What both trainers are asked to do."""
    settings, model = task.settings, task.choice["model"]
    batch = settings.batches[settings.models.index(model)]
    workers = min(cores(), MOST_WORKERS)
    steps = -(-settings.steps // workers) * workers  # open_clip's workers have as many each
    form = task.choice["form"]
    corpus = trainers.Corpus(_braces(task.data.tars(form)), steps * batch, task.data.shards(form), None)
    own = trainers.Settings(
        batch=batch,
        epochs=1,
        lr=1e-4,
        warmup=min(10, steps // 2),
        precision=settings.precision,
        device=settings.device,
        workers=workers,
        log_every=LOG_EVERY,
    )
    return trainers.Task(model, CONTEXT, task.choice["round"], own, corpus, task.folder)


def _braces(folder: Path) -> str:
    names = sorted(path.stem for path in folder.iterdir())
    return f"{folder}/{{{names[0]}..{names[-1]}}}.tar"


def skipped(run: trainers.Task) -> int:
    """Steps that do not count."""
    return max(LOG_EVERY, int(run.steps * WARM_UP))


def command(task: Task, run: trainers.Task) -> list[str]:
    """The trainer's command line; neither saves anything."""
    source = task.choice["source"]
    if source == OPEN_CLIP:
        # Without a folder for logs it saves no checkpoint; a name that is a path says where its own log goes.
        words = [*trainers.theirs_command(run), "--logs", "none", "--name", str(task.folder / OPEN_CLIP)]
        if run.model == "small":  # no name of open_clip's: it comes as a folder
            from benchmarks.training.rounds import write_initial

            write_initial(run)
            return words
        return [*words, "--model", run.model]
    words = [*trainers.ours_command(run), "save_folder=null"]
    if source != CEILING:
        return [*words, f"data.decoder={source}"]
    script = str(trainers.ROOT / "train" / "run.py")
    at = words.index(script)
    return [*words[:at], "-m", "benchmarks.gpu.constant", *words[at + 1 :]]


def our_figures(log: Path, skip: int) -> dict[str, float | None]:
    """Shares of the steady state; each line is about as many steps."""
    lines = [found for line in log.read_text(encoding="utf-8").splitlines() if (found := _OURS.match(line))]
    steady = [line for line in lines if int(line["step"]) > skip]
    waits = [float(line["wait"]) / 100 for line in steady]
    useful = [float(line["mfu"]) / 100 for line in steady if line["mfu"]]
    return {
        "data_wait": sum(waits) / len(waits) if waits else None,
        "mfu": sum(useful) / len(useful) if useful else None,
    }


def their_figures(log: Path, batch: int, skip: int) -> dict[str, float | None]:
    """The same share of open_clip's time."""
    return {"data_wait": read_theirs(log, batch, skip).data_wait, "mfu": None}
