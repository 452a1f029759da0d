"""One engine per process, kept from unit to unit: loading a model takes longer than most units."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass
from multiprocessing.util import Finalize
from typing import TypeVar

from engine.recap.backends.base import Backend
from engine.recap.delivery import Delivery
from engine.recap.options import EngineOptions
from engine.recap.room import Room, room_for

T = TypeVar("T")


@dataclass
class Host:
    """An event loop and the engine that lives in it."""

    options: EngineOptions
    loop: asyncio.AbstractEventLoop
    backend: Backend
    delivery: Delivery

    def drive(self, reports: AsyncGenerator[T, None]) -> Iterator[T]:
        """Runs an asynchronous generator; the engine works only while the next report is waited for."""
        try:
            while True:
                try:
                    yield self.loop.run_until_complete(anext(reports))
                except StopAsyncIteration:
                    return
        finally:
            self.loop.run_until_complete(reports.aclose())

    def close(self) -> None:
        """Lets go of the engine."""
        self.loop.run_until_complete(self.backend.close())
        self.loop.close()


_hosts: list[Host] = []


def host_for(options: EngineOptions) -> Host:
    """This process's host with these options; another one is closed first, as a GPU holds one engine.

    Raises:
        UserError: the engine cannot be reached or loaded.
    """
    if _hosts and _hosts[0].options == options:
        return _hosts[0]
    close_hosts()
    loop = asyncio.new_event_loop()
    backend = _backend(options)
    try:
        loop.run_until_complete(backend.open())
        room = room_for(options.base_url, options.meeting_place)
        delivery = loop.run_until_complete(_delivery(backend, options, room))
    except BaseException:
        loop.run_until_complete(backend.close())
        loop.close()
        raise
    gc.freeze()  # what is loaded by now stays: looking through it again and again is a tenth of all time
    _hosts.append(Host(options, loop, backend, delivery))
    return _hosts[0]


def close_hosts() -> None:
    """Lets go of this process's engine, if there is one."""
    while _hosts:
        _hosts.pop().close()


async def _delivery(backend: Backend, options: EngineOptions, room: Room) -> Delivery:
    return Delivery(backend, options.concurrency, options.patience, room)


# Worker processes end without atexit; this is called in both kinds.
Finalize(None, close_hosts, exitpriority=0)


def _backend(options: EngineOptions) -> Backend:
    if options.base_url is None:
        from engine.recap.backends.vllm import open_vllm

        return open_vllm(options)
    from engine.recap.backends.server import ServerBackend

    return ServerBackend(options, options.base_url)
