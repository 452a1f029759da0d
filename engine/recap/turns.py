"""The check for captions that come again and again, in input order however the answers come in."""

from __future__ import annotations

import asyncio

from engine.captions.repeats import RepeatWindow


class Turns:
    """Every sample of a unit is judged once, in input order: a resumed run judges alike."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Starts with sample 0."""
        self._loop = loop
        self._window = RepeatWindow()
        self._next = 0
        self._waiting: dict[int, tuple[str | None, asyncio.Future[bool]]] = {}

    def judge(self, index: int, text: str | None) -> asyncio.Future[bool]:
        """Whether the text came too often shortly before; known when all earlier samples were judged."""
        future = self._loop.create_future()
        self._waiting[index] = (text, future)
        while self._next in self._waiting:
            first, waiting = self._waiting.pop(self._next)
            self._next += 1
            often = first is not None and self._window.add(first)
            if not waiting.done():  # its sample was cancelled
                waiting.set_result(often)
        return future
