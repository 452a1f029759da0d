"""The tasks that are known by name, out of `train/evaluate/data/`: protocols, class names, sources."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from train.evaluate.tasks import ClassName, Kind, Task, normalised
from train.heldout.prompts import template_set

DATA = Path(__file__).parent / "data"


@cache
def groups() -> dict[str, tuple[str, ...]]:
    """Return the names of tasks by group."""
    raw: dict[str, list[str]] = _read("tasks.yaml")["groups"]

    def tasks_of(group: str) -> list[str]:
        return [task for name in raw[group] for task in (tasks_of(name) if name in raw else [name])]

    return {group: tuple(tasks_of(group)) for group in raw}


@cache
def names() -> tuple[str, ...]:
    """Return all tasks in the order of the tables."""
    return groups()["all"]


@cache
def task(name: str) -> Task:
    """Return a task of `names`; class names and templates of ImageNet's are open_clip's."""
    vtab = _read("vtab.yaml")
    if name in vtab:
        facts = vtab[name]
        classes = _classes(facts["names"], facts.get("labels", {}))
        return _task(name, Kind.CLASSES, facts, classes, {"clip": tuple(facts["templates"])})
    facts = _read("tasks.yaml")["tasks"][name]
    kind = Kind(facts["kind"])
    if kind is not Kind.CLASSES:
        return _task(name, kind, facts)
    return _task(name, kind, facts, _imagenet(), {v: _templates(v) for v in facts["templates"]})


def _task(
    name: str,
    kind: Kind,
    facts: Mapping[str, Any],
    classes: tuple[ClassName, ...] = (),
    templates: Mapping[str, tuple[str, ...]] | None = None,
) -> Task:
    hub = facts.get("hub")
    folders = [name, *facts["folders"], *([hub.split("/")[1]] if hub else [])]
    source = facts["page"] + (f", or huggingface.co/datasets/{hub}" if hub else "")
    return Task(
        name,
        facts["title"],
        kind,
        classes,
        templates or {},
        facts["images"],
        tuple(dict.fromkeys(folders)),
        source,
    )


def _classes(texts: list[str], also: Mapping[str, list[str]]) -> tuple[ClassName, ...]:
    """Each class is called by its number, its name, and what else data sets call it."""
    return tuple(ClassName(text, (str(at), text, *also.get(text, ()))) for at, text in enumerate(texts))


def _imagenet() -> tuple[ClassName, ...]:
    """ImageNet's 1,000, called by number, WordNet id, and open_clip's and WordNet's names that are of one."""
    import open_clip
    from timm.data.imagenet_info import ImageNetInfo

    info = ImageNetInfo()
    spellings = [
        (str(at), info.index_to_label_name(at), text, info.index_to_description(at))
        for at, text in enumerate(open_clip.IMAGENET_CLASSNAMES)
    ]
    shared = Counter(key for labels in spellings for key in {normalised(label) for label in labels})
    return tuple(
        ClassName(labels[2], tuple(label for label in labels if shared[normalised(label)] == 1))
        for labels in spellings
    )


def _templates(name: str) -> tuple[str, ...]:
    """Return a set of ImageNet's templates as texts."""
    return tuple(fill("{}") for fill in template_set(name))


@cache
def _read(file: str) -> Any:
    return yaml.safe_load((DATA / file).read_text("utf-8"))
