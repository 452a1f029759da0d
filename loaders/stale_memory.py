"""Removes the shared memory that crashed runs left behind, and nothing that a living run uses.

Streaming keeps its state in named shared memory (`/dev/shm/000000_locals` and so on). A run that is killed
leaves it there; the next run with the same cache folder is then refused ("Reused local directory").
Streaming's own `clean_stale_shared_memory` removes every such name, those of other runs on the machine and of
this process's other loaders too; here a name stays if any living process maps any name with the same number.
"""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
import time
from pathlib import Path

from streaming.base import distributed
from streaming.base.constant import BARRIER_FILELOCK, CACHE_FILELOCK, SHM_TO_CLEAN
from torch import distributed as dist

SHARED_MEMORY = Path("/dev/shm")
PROCESSES = Path("/proc")
NAME = re.compile(rf"(\d{{6}})_(?:{'|'.join(SHM_TO_CLEAN)})")
# Streaming's file locks stay behind even when a run ends well, and it never takes a number that has one.
LOCK = re.compile(rf"(\d{{6}})_(?:{BARRIER_FILELOCK}|{CACHE_FILELOCK})")
# A name is mapped within milliseconds of its creation; younger ones may belong to a run that is starting.
# A run started after a kill takes longer than this to import torch.
YOUNGEST_S = 1.0


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
    used = _numbers_in_use()
    removed = []
    for folder, pattern in ((SHARED_MEMORY, NAME), (Path(tempfile.gettempdir()), LOCK)):
        for entry in _entries(folder):
            match = pattern.fullmatch(entry.name)
            if match and match[1] not in used and _remove_old(Path(entry.path)):
                removed.append(entry.name)
    return removed


def _remove_old(path: Path) -> bool:
    try:
        if time.time() - path.stat().st_mtime <= YOUNGEST_S:
            return False
        path.unlink()
    except OSError:  # someone else's, or already gone
        return False
    return True


def _numbers_in_use() -> set[str]:
    """Return the numbers of which some living process has mapped any name."""
    mapped = re.compile(rf"{SHARED_MEMORY}/{NAME.pattern}")
    numbers: set[str] = set()
    for entry in _entries(PROCESSES):
        if entry.name.isdigit():
            # A process may have ended meanwhile; another user's shared memory we could not remove either.
            with contextlib.suppress(OSError):
                maps = Path(entry.path, "maps").read_text("utf-8", "replace")
                numbers |= {match[1] for match in mapped.finditer(maps)}
    return numbers


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    return list(os.scandir(folder)) if folder.is_dir() else []
