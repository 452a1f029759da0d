"""SIGTERM, a scheduler's notice, ends a run after the step under way, with a checkpoint of it."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from composer.core import Callback, Event, State
from composer.loggers import Logger
from composer.utils import create_interval_scheduler


class StoppedError(Exception):
    """The run was asked to stop, and has."""

    def __init__(self, step: int) -> None:
        """Take the number of steps taken."""
        super().__init__(f"stopped by SIGTERM after step {step}")


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
            print("SIGTERM: stopping after this step, with a checkpoint", file=sys.stderr, flush=True)
        self.asked = True


def save_schedule(interval: str, notice: StopNotice) -> Callable[[State, Event], bool]:
    """Composer's schedule for checkpoints, and one when the run stops."""
    usual: Callable[[State, Event], bool] = create_interval_scheduler(interval)

    def due(state: State, event: Event) -> bool:
        return usual(state, event) or (notice.agreed and event == Event.BATCH_CHECKPOINT)

    return due


class StopAfterCheckpoint(Callback):
    """Ends the run at the first event after the checkpoint of the step in which the ranks agreed to stop."""

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
        self._passed = self.notice.agreed and event == Event.BATCH_CHECKPOINT
        super().run_event(event, state, logger)

    def state_dict(self) -> dict[str, Any]:
        """Keep nothing: a resumed run was not asked."""
        return {}
