"""Who does the work: processes of this machine (default) or Ray, with the same code and the same events."""

from engine.executors.base import EXECUTORS, Event, Executor, Finished, Progress, open_executor

__all__ = ["EXECUTORS", "Event", "Executor", "Finished", "Progress", "open_executor"]
