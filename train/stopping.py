"""SIGTERM, a scheduler's notice, ends a run after the step under way, with a checkpoint of it.

While held-out data is looked at, the ranks ask each other before each batch, and stop there together.
"""

from __future__ import annotations

import math
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar

import torch
from composer.core import Callback, Event, State
from composer.devices import Device
from composer.loggers import Logger
from composer.utils import create_interval_scheduler, dist, get_device

T = TypeVar("T")
Pace = Callable[[Iterable[Any], int], Iterator[Any]]
"""How a rank walks its share: `StopNotice.between`, or `at_once`."""
CHECKPOINTS = (Event.BATCH_CHECKPOINT, Event.EPOCH_CHECKPOINT)


class StoppedError(Exception):
    """The run was asked to stop, and has."""

    def __init__(self, step: int | None = None) -> None:
        """Take the number of steps taken, where it is known."""
        super().__init__("stopped by SIGTERM" if step is None else f"stopped by SIGTERM after step {step}")


@dataclass
class StopNotice:
    """Attributes: asked, by a signal to this process; agreed, since any rank was asked."""

    asked: bool = False
    agreed: bool = False

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Note SIGTERM, once: a scheduler and the launcher may each send one to every rank."""
        before = signal.signal(signal.SIGTERM, self._hear)
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, before)

    def _hear(self, number: int, frame: object) -> None:
        if not self.asked:
            print("SIGTERM: stopping after the step or batch under way", file=sys.stderr, flush=True)
        self.asked = True

    def check(self) -> None:
        """Stop all ranks if any was asked to; every rank has to come here as often as the others.

        Raises:
            StoppedError: on all of them.
        """
        (self.agreed,) = any_rank(get_device(None), self.asked)
        if self.agreed:
            raise StoppedError

    def between(self, items: Iterable[T], most: int) -> Iterator[T]:
        """Yield items, checking before each; `most` is the number of items of the rank that has most.

        Raises:
            StoppedError: as `check`.
        """
        left = iter(items)
        for _ in range(most):
            self.check()
            yield from islice(left, 1)


def at_once(items: Iterable[T], most: int) -> Iterator[T]:
    """All of them, asking nobody."""
    return iter(items)


def rounds(count: int, ranks: int, at_a_time: int) -> int:
    """How often the rank with the most of `count` items, dealt out among `ranks`, takes some."""
    return math.ceil(math.ceil(count / ranks) / at_a_time)


def any_rank(device: Device, *flags: bool) -> tuple[bool, ...]:
    """Each flag, set if any rank's is: one small collective."""
    table: Any = torch.tensor(flags, dtype=torch.int32)
    if dist.get_world_size() > 1:
        table = device.tensor_to_device(table)
        dist.all_reduce(table, reduce_operation="MAX")
    return tuple(bool(flag) for flag in table.tolist())


def save_schedule(interval: str, notice: StopNotice) -> Callable[[State, Event], bool]:
    """Composer's schedule for checkpoints, and one when the run stops."""
    usual: Callable[[State, Event], bool] = create_interval_scheduler(interval)

    def due(state: State, event: Event) -> bool:
        return usual(state, event) or (notice.agreed and event in CHECKPOINTS)

    return due


class StopAfterCheckpoint(Callback):
    """Ends the run at the first event after the checkpoint that follows the ranks' agreement to stop."""

    def __init__(self, notice: StopNotice) -> None:
        """Watch a notice."""
        self.notice = notice
        self._passed = False

    def run_event(self, event: Event, state: State, logger: Logger) -> None:
        """Let the checkpoint event pass.

        Raises:
            StoppedError: when it has.
        """
        if self._passed:
            self._passed = False  # `close` is an event as well
            raise StoppedError(int(state.timestamp.batch))
        self._passed = self.notice.agreed and event in CHECKPOINTS
        super().run_event(event, state, logger)

    def state_dict(self) -> dict[str, Any]:
        """Keep nothing: a resumed run was not asked."""
        return {}
