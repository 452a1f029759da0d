"""Our loader with one thread, beside itself with several: how it scales."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.loader.peers import ours
from benchmarks.loader.work import Work

IMPORTS = ours.IMPORTS
crop = ours.crop


def loader(work: Work) -> Iterator[int]:
    """The same loader, one decode thread."""
    return ours.batches(work, work.folders.ours_again, 1)
