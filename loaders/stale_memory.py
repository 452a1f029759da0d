"""Removes the shared memory that crashed runs left behind, and nothing that a living run uses.

Streaming keeps its state in named shared memory (`/dev/shm/000000_locals` and so on). A run that is killed
leaves it there; the next run with the same cache folder is then refused ("Reused local directory").
Streaming's own `clean_stale_shared_memory` removes every such name, those of other runs on the machine and of
this process's other loaders too; here a name stays if any living process maps any name with the same number.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable
from pathlib import Path

from streaming.base import distributed
from streaming.base.constant import SHM_TO_CLEAN
from torch import distributed as dist

SHARED_MEMORY = Path("/dev/shm")
PROCESSES = Path("/proc")
NAME = re.compile(rf"(\d{{6}})_(?:{'|'.join(SHM_TO_CLEAN)})")
# A name is mapped within milliseconds of its creation; younger ones may belong to a run that is starting.
YOUNGEST_S = 5.0


def remove_stale_shared_memory() -> list[str]:
    """Remove leftovers on the node's rank 0; the other ranks wait, since the next free number depends on it.

    Returns:
        The names removed by this rank.
    """
    opened = distributed.maybe_init_dist()
    removed = _remove() if distributed.get_local_rank() == 0 else []
    distributed.barrier()
    if opened:
        dist.destroy_process_group()
    return removed


def _remove() -> list[str]:
    found = _named(entry.name for entry in _entries(SHARED_MEMORY))
    removed = []
    for name in sorted(found.keys() - _in_use(found)):
        path = SHARED_MEMORY / name
        try:
            if time.time() - path.stat().st_mtime > YOUNGEST_S:
                path.unlink()
                removed.append(name)
        except OSError:  # someone else's, or already gone
            continue
    return removed


def _in_use(found: dict[str, str]) -> set[str]:
    """Return those of the names whose number some living process has mapped."""
    numbers: set[str] = set()
    for entry in _entries(PROCESSES):
        if entry.name.isdigit():
            try:
                maps = Path(entry.path, "maps").read_text("utf-8", "replace")
            except (
                OSError
            ):  # ended meanwhile, or of another user, whose shared memory we cannot remove either
                continue
            numbers |= {match[1] for match in re.finditer(rf"{SHARED_MEMORY}/{NAME.pattern}", maps)}
    return {name for name, number in found.items() if number in numbers}


def _named(names: Iterable[str]) -> dict[str, str]:
    matches = (NAME.fullmatch(name) for name in names)
    return {match[0]: match[1] for match in matches if match}


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    return list(os.scandir(folder)) if folder.is_dir() else []
