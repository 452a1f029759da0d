"""One evaluation: a model on tasks, their table and report; a task that fails leaves the others alone."""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
import time
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from composer.utils import dist, get_device

from engine import __version__
from engine.build.inputs import version_of
from engine.errors import UserError
from engine.native import commit_file
from train.evaluate import papers
from train.evaluate.cache import default_cache
from train.evaluate.embed import EmbedOptions, embed_set, embed_texts
from train.evaluate.encoder import Encoder, ModelOptions
from train.evaluate.models import open_encoder
from train.evaluate.papers import paper_tables
from train.evaluate.published import Figure, check_model, lookup
from train.evaluate.report import write_report
from train.evaluate.resolve import Located, resolve
from train.evaluate.results import TaskResult
from train.evaluate.scoring import score
from train.evaluate.sets import find_kind, open_set
from train.evaluate.table import as_json, as_markdown, as_text, rows, visible
from train.keeping.seals import LATEST
from train.together import agree, attempt, fail_alike, on_first

TABLE, PAGE = "evaluation", "report.html"
# A rank whose features are all known waits for one that computes its share.
TIMEOUT_S = 6 * 3600.0
PACKAGES = ("torch", "open_clip_torch", "transformers")


@dataclass(frozen=True)
class Choice:
    """What a user wants.

    Attributes:
        model: what to measure.
        tasks: words of --tasks.
        root: folder of the data sets.
        out: folder of table and report.
        compare: name of a published model, or None.
        embed: batches, cache, unreadable images.
    """

    model: ModelOptions
    tasks: tuple[str, ...]
    root: Path
    out: Path
    compare: str | None
    embed: EmbedOptions

    @staticmethod
    def of(options: argparse.Namespace) -> Choice:
        """From the command line."""
        model = ModelOptions(
            model=options.model,
            pretrained=options.pretrained,
            tokenizer=options.tokenizer,
            transform=options.transform,
            averaged=options.weights == "averaged",
            device=options.device,
            precision=options.precision,
        )
        cache = None if options.cache == "none" else Path(options.cache or default_cache())
        return Choice(
            model,
            tuple(word for word in options.tasks.split(",") if word),
            options.root,
            options.out or _default_out(options.model),
            options.compare,
            EmbedOptions(options.batch_size, cache, options.bad_images),
        )


def _default_out(model: str) -> Path:
    """In the folder of a run of ours; here for other models, whose folders are not ours to write in."""
    path = Path(model).expanduser()
    run = path.parent if path.is_file() else path
    return run / TABLE if (run / LATEST).exists() else Path(TABLE) / path.name


def evaluate(choice: Choice) -> int:
    """Measure, print and write.

    Returns:
        The exit code, the same on every rank: 1 when a task failed.

    Raises:
        UserError: on all ranks alike, before the first task.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        dist.initialize_dist(get_device(None), timeout=TIMEOUT_S)
    if choice.compare is not None:
        check_model(choice.compare)
    located, missing = agree(lambda: resolve(choice.tasks, choice.root))
    absent = {one.task.name: one.message for one in missing}
    for message in absent.values():
        _tell(f"missing: {message}")
    if not located:
        raise UserError("none of the tasks has its data here; see --root, or give NAME=PATH")
    made = [path for path in (choice.out, *choice.out.parents) if not path.exists()]
    on_first(lambda: _make_folder(choice.out))  # what cannot be written is known before the work
    try:
        encoder, failure = attempt(lambda: open_encoder(choice.model))
        fail_alike(failure)
        assert encoder is not None
        results, failed = _measure_all(located, encoder, choice.embed)
        if dist.get_global_rank() == 0:
            about = _about(encoder, choice, absent, failed)
            _write(results, choice, about)
    except BaseException:
        with suppress(OSError):  # it holds something, or another rank was quicker
            for path in made:
                path.rmdir()
        raise
    return 1 if failed else 0


def _make_folder(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            pass
    except OSError as error:
        raise UserError(f"--out {out}: cannot be written ({error.strerror}); give another folder") from error


def _tell(line: str) -> None:
    if dist.get_global_rank() == 0:
        print(visible(line), file=sys.stderr, flush=True)


def _measure_all(
    located: Sequence[Located], encoder: Encoder, options: EmbedOptions
) -> tuple[list[TaskResult], dict[str, str]]:
    results, failed = [], {}
    for place in located:
        try:
            results.append(_measure(place, encoder, options))
        except UserError as error:  # on all ranks alike
            failed[place.task.name] = str(error)
        except Exception as error:  # a mistake of ours takes no other task's figures along
            traceback.print_exc()
            failed[place.task.name] = f"{type(error).__name__}: {error}"
        if place.task.name in failed:
            _tell(f"failed: {place.task.name}: {failed[place.task.name]}")
    return results, failed


def _measure(place: Located, encoder: Encoder, options: EmbedOptions) -> TaskResult:
    began = time.monotonic()
    task = place.task
    if not task.source:  # a set of one's own says itself what it holds
        task = replace(task, kind=agree(lambda: find_kind(place.path)))
    images, failure = attempt(lambda: open_set(place.path, task.kind, task))
    fail_alike(failure)
    assert images is not None
    embedded = embed_set(images, encoder, options, task.title)
    found = score(task, images, embedded, lambda texts: embed_texts(texts, encoder, options))
    seconds = time.monotonic() - began
    return TaskResult(
        task, images.where, found.metrics, found.sizes, tuple(embedded.rejects), found.detail, images, seconds
    )


def _about(
    encoder: Encoder, choice: Choice, absent: Mapping[str, str], failed: Mapping[str, str]
) -> dict[str, object]:
    """What the figures belong to."""
    described = {name: value for name, value in encoder.description.items() if name != "model"}
    versions = {name: version_of(name) for name in PACKAGES}
    return {
        "model": {"name": encoder.name, **described},
        "compared with": choice.compare,
        "missing": absent,
        "failed": failed,
        "versions": {"veclip-engine": __version__, "python": platform.python_version(), **versions},
    }


def _write(results: Sequence[TaskResult], choice: Choice, about: Mapping[str, object]) -> None:
    table = rows(results, lambda task, metric: _published(task, metric, choice.compare))
    if table:
        print(as_text(table))
    commit_file(choice.out / f"{TABLE}.json", as_json(table, results, about).encode())
    published = paper_tables(table)
    below = [papers.as_markdown(published)] if published else []
    commit_file(choice.out / f"{TABLE}.md", as_markdown(table, about, *below).encode())
    write_report(choice.out / PAGE, results, table, about)
    print(f"written: {choice.out} ({TABLE}.json, {TABLE}.md, {PAGE})")


def _published(task: str, metric: str, model: str | None) -> Figure | None:
    return next((figure for figure in lookup(task, metric) if figure.model == model), None)
