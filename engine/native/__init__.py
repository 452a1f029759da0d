"""The typed Python face of the C++ core; no logic lives here."""

from engine.native._core import ColumnView, NativeError, Status, ThreadPool, status_sentence

__all__ = ["ColumnView", "NativeError", "Status", "ThreadPool", "status_sentence"]
