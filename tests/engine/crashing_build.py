"""Kills builds of one dataset before their 1st, 2nd, 3rd, ... file appears, until one gets through;
each is resumed, and must end in the bytes of an undisturbed build.

Run as a program: it forks, which is safe only while there are no threads. Prints how many builds were killed.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from build_corpus import build_dataset, tree

from engine import parquet_file
from engine.build import dedup as dedup_module
from engine.build import finish, receipts, run, state
from engine.build.samples import cached_tokenizer
from engine.executors import open_executor
from engine.shards import index, mds_writer

MOST_FILES = 200


class Fuse:
    """Ends the process when as many files as allowed have appeared."""

    def __init__(self, allowed: int) -> None:
        self.left = allowed

    def burn(self) -> None:
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        self.left -= 1

    def guard(self, function: Any) -> Any:
        def guarded(*args: Any, **kwargs: Any) -> Any:
            self.burn()
            return function(*args, **kwargs)

        return guarded


class GuardedPacker(mds_writer.ShardPacker):
    fuse: Fuse

    def commit(self, path: Any) -> None:
        self.fuse.burn()
        super().commit(path)


def crash_after(allowed: int, tars: Path, out: Path) -> None:
    fuse = GuardedPacker.fuse = Fuse(allowed)
    for module in (finish, receipts, state, dedup_module, index, mds_writer):
        module.commit_file = fuse.guard(module.commit_file)
    parquet_file.os.replace = fuse.guard(os.replace)
    state.shutil.rmtree = fuse.guard(state.shutil.rmtree)
    mds_writer.ShardPacker = GuardedPacker
    run.open_executor = lambda name, workers: open_executor("inline", workers)
    build_dataset(tars, out)


def in_child(work: Callable[[], object]) -> bool:
    """Runs `work` in a forked process; whether it came to its end."""
    child = os.fork()
    if child == 0:
        work()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def main(tars: Path, folder: Path, stride: int) -> int:
    cached_tokenizer("clip", None)  # once, for all children
    in_child(lambda: build_dataset(tars, folder / "expected"))
    expected = tree(folder / "expected")
    for allowed in range(0, MOST_FILES, stride):
        out = folder / str(allowed)
        crashed = not in_child(partial(crash_after, allowed, tars, out))
        in_child(partial(build_dataset, tars, out))
        if tree(out) != expected:
            sys.exit(f"killed before file {allowed}: another tree")
        if not crashed:
            return allowed
    sys.exit(f"still crashing after {MOST_FILES} files")


if __name__ == "__main__":
    print(main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])))
