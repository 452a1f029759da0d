"""A barrier among the processes of a node that does not wait for the dead."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic, sleep
from typing import Any, cast

import numpy as np
import streaming.base.dataset
from filelock import FileLock
from streaming.base.constant import TICK
from streaming.base.shared import SharedArray

from engine.errors import UserError

PATIENCE_S = 1800.0
"""As long as torch.distributed waits: another rank may be writing a checkpoint or evaluating."""
_ARRIVED, _GENERATION = 0, 1


class Barrier:
    """Stands for Streaming's `SharedBarrier`, which waits for ever.

    A killed process never arrives: the others end with an error, so that a job without a launcher that ends
    its ranks together ends too. `filelock_path` and `lock` are there for the data set, which takes the
    lock away before it is pickled and makes another.
    """

    def __init__(self, filelock_path: str, shm_name: str) -> None:
        """Share the counts, 0 at first, under a name in shared memory; all processes give the same two."""
        self.filelock_path = filelock_path
        self.lock: object = None
        self._counts = SharedArray(2, np.int32, shm_name)

    def __call__(self, processes: int) -> None:
        """Return when so many processes are here.

        Raises:
            UserError: after PATIENCE_S.
        """
        with FileLock(self.filelock_path):  # a new one: it does not outlive a fork
            generation = self._counts[_GENERATION]
            arrived = self._counts[_ARRIVED] + 1
            self._counts[_ARRIVED] = arrived % processes
            if arrived == processes:
                self._counts[_GENERATION] = generation + 1
        until = monotonic() + PATIENCE_S
        while self._counts[_GENERATION] == generation:
            if monotonic() > until:
                raise UserError(
                    f"data: {arrived} of this node's {processes} processes waited for the others for "
                    f"{PATIENCE_S:g} s at an epoch's start; was one killed? End the run and resume it"
                )
            sleep(TICK)


@contextmanager
def patient_barrier() -> Iterator[None]:
    """Let a StreamingDataset that is made meanwhile wait in a `Barrier`; there is no other way in."""
    module = cast(Any, streaming.base.dataset)
    original = module.SharedBarrier
    module.SharedBarrier = Barrier
    try:
        yield
    finally:
        module.SharedBarrier = original
