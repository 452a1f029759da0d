"""What the user wants measured: names of tasks, groups of them, and data of one's own."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.errors import UserError
from engine.nearest import nearest
from engine.sources.storage import exists
from train.evaluate import registry
from train.evaluate.tasks import Kind, Task, normalised


@dataclass(frozen=True)
class Located:
    """A task and where its data is: a file, a folder or an fsspec URL."""

    task: Task
    path: str


@dataclass(frozen=True)
class Missing:
    """A task whose data is not there; message says what was looked for and where to get it."""

    task: Task
    message: str


def resolve(words: Sequence[str], root: Path | None) -> tuple[list[Located], list[Missing]]:
    """Find the data of everything that is named; each keeps the order in which it is named.

    Args:
        words: `NAME` (a task or a group), `NAME=PATH` (a task whose data is there), or `OTHER=PATH` (one's
            own classes or captions; `train.evaluate.sets.find_kind` tells which). PATH may be an fsspec URL.
        root: where the folders of tasks are looked for; None: every task needs its PATH.

    Raises:
        UserError: an unknown name, a name without its path, or the same task twice.
    """
    located: list[Located] = []
    missing: list[Missing] = []
    given: dict[str, str] = {}
    for word in words:
        for task, path in _tasks(word.strip()):
            if task.name in given:
                raise UserError(
                    f"{task.name}: named twice, by {given[task.name]} and by {word}; expected once"
                )
            given[task.name] = word
            found = path or _in_root(task, root)
            if found is not None and exists(found):
                located.append(Located(task, found))
            else:
                missing.append(Missing(task, _message(task, path, root)))
    return located, missing


def _tasks(word: str) -> list[tuple[Task, str | None]]:
    name, equals, path = word.partition("=")
    groups, known = registry.groups(), registry.names()
    if equals:
        if not name or not path or name in groups:
            what = f"{name} is a group" if name in groups else "half of it is empty"
            raise UserError(f"{word}: {what}; expected NAME=PATH for one task")
        return [(registry.task(name) if name in known else own_task(name), os.path.expanduser(path))]
    if name in groups:
        return [(registry.task(one), None) for one in groups[name]]
    if name in known:
        return [(registry.task(name), None)]
    every = (*known, *groups)
    raise UserError(
        f"{name or 'an empty name'}: unknown task{nearest(name, every)}; expected one of {', '.join(every)}, "
        "or NAME=PATH for data of your own"
    )


def own_task(name: str) -> Task:
    """Return a task of one's own data: its classes and templates are those of the set."""
    return Task(name, name, Kind.CLASSES)


def _in_root(task: Task, root: Path | None) -> str | None:
    """Return the folder below the root with one of the task's names, whatever its case and punctuation."""
    if root is None or not root.is_dir():
        return None
    folders = [entry for entry in sorted(root.iterdir(), reverse=True) if entry.is_dir()]
    there = {normalised(folder.name): str(folder) for folder in folders}
    return next((there[key] for key in map(normalised, task.folders) if key in there), None)


def _message(task: Task, path: str | None, root: Path | None) -> str:
    where = f"get it from {task.source}, " if task.source else ""
    if path is not None:
        return f"{task.name}: {path}: not found; {where}or correct the path"
    looked = f"no folder {', '.join(task.folders)} in {root}" if root is not None else "no --root given"
    return f"{task.name}: {looked}; {where}then give {task.name}=PATH or put it there"
