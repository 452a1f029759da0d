"""What `--list` prints: tasks and groups, where their data is had, and the published models."""

from __future__ import annotations

from train.evaluate import registry
from train.evaluate.published import published_models


def listing() -> str:
    """All of it as text."""
    lines = ["tasks (--tasks NAME, data in a folder of --root, or NAME=PATH):"]
    for name in registry.names():
        task = registry.task(name)
        images = f"{task.images:,} images" if task.images else "any number of images"
        lines += [
            f"  {name}: {task.title}, {images}",
            f"    folders: {', '.join(task.folders)}",
            f"    data: {task.source}",
        ]
    lines += ["", "groups:"]
    lines += [f"  {group}: {', '.join(tasks)}" for group, tasks in registry.groups().items()]
    lines += ["", "published models (--compare NAME):"]
    lines += [f"  {name}: {text}" for name, text in published_models().items()]
    return "\n".join(lines)
