"""Brings requests to an engine: bounded concurrency, tries, waits, and the search for what kills it."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from engine.errors import UserError
from engine.recap.backends.base import Away, Backend, Busy, Died, Failed, Refused
from engine.recap.requests import Completion, Request
from engine.recap.room import Room

POLL_S = 0.02  # between two looks whether other processes have left the room


@dataclass(frozen=True)
class Patience:
    """How long an engine's failures are borne.

    Attributes:
        tries: of one request that fails or is not answered in time.
        first_wait_s: after the first of them; doubles up to `longest_wait_s`.
        longest_wait_s: also the most that a server's Retry-After is heeded.
        silence_s: without any answer to anyone; then the run stops.
    """

    tries: int = 4
    first_wait_s: float = 0.5
    longest_wait_s: float = 30.0
    silence_s: float = 600.0


class Lane:
    """Many at a time, or one alone: requests that were there when the engine died are tried one by one."""

    def __init__(self, width: int, room: Room) -> None:
        """At most `width` at a time, in a room that other processes may share."""
        self._width, self._room = width, room
        self._inside = 0
        self._many: deque[asyncio.Future[None]] = deque()
        self._alone: deque[asyncio.Future[None]] = deque()
        self._again: asyncio.TimerHandle | None = None
        self._blocked_s, self._blocked_since = 0.0, 0.0

    def clock_s(self) -> float:
        """A clock that stands still while other processes keep this one out of the room."""
        now = time.monotonic()
        return now - self._blocked_s - (now - self._blocked_since if self._blocked_since else 0.0)

    @asynccontextmanager
    async def enter(self, alone: bool) -> AsyncIterator[None]:
        """A place for one request; those who want to be alone come first."""
        place = asyncio.get_running_loop().create_future()
        (self._alone if alone else self._many).append(place)
        self._hand_out()
        try:
            await place
            yield
        finally:
            if place.done() and not place.cancelled():
                self._inside -= self._width if alone else 1
            self._hand_out()

    def _hand_out(self) -> None:
        while self._first(self._alone):
            if self._inside:
                return  # whoever comes out last hands out again
            if not self._room.take():
                return self._later()
            self._let_in(self._alone, self._width)
        while self._first(self._many) and self._inside < self._width:
            if not self._room.share():
                if not self._inside:
                    self._room.leave()
                return self._later()
            self._let_in(self._many, 1)
        if not self._inside:
            self._room.leave()

    def _let_in(self, queue: deque[asyncio.Future[None]], width: int) -> None:
        if self._blocked_since:
            self._blocked_s += time.monotonic() - self._blocked_since
            self._blocked_since = 0.0
        self._inside += width
        queue.popleft().set_result(None)

    def _first(self, queue: deque[asyncio.Future[None]]) -> bool:
        """Whether somebody waits who has not given up."""
        while queue and queue[0].cancelled():
            queue.popleft()
        return bool(queue)

    def _later(self) -> None:
        self._blocked_since = self._blocked_since or time.monotonic()
        if self._again is None:
            self._again = asyncio.get_running_loop().call_later(POLL_S, self._look_again)

    def _look_again(self) -> None:
        self._again = None
        self._hand_out()


class Delivery:
    """One engine and everyone who asks it."""

    def __init__(self, backend: Backend, concurrency: int, patience: Patience, room: Room) -> None:
        """At most `concurrency` requests in flight, in the room of the engine."""
        self._backend, self._patience = backend, patience
        self._lane = Lane(concurrency, room)
        self._reviving = asyncio.Lock()
        self._last_answer = self._lane.clock_s()
        self._last_death = 0.0
        self.repeats = 0
        """Requests that were sent again because the engine failed, waited or died."""

    async def send(self, request: Request) -> Completion:
        """The answer, or a completion with a `failure` code if the request is set aside.

        Raises:
            TooLong: the request does not fit the model; nothing was paid for.
            UserError: the engine is gone, or has not answered anyone for too long.
        """
        began = self._lane.clock_s()
        failures = waits = deaths_alone = 0
        suspect = False
        while True:
            try:
                async with self._lane.enter(suspect):
                    completion = await self._backend.generate(request)
                self._last_answer = self._lane.clock_s()
                return completion
            except Refused:
                self._last_answer = self._lane.clock_s()
                return Completion(failure="request_refused")
            except Failed as error:
                failures += 1
                if failures >= self._patience.tries and await self._is_well(began):
                    return Completion(failure=error.code)
                # What fails because of others may go well alone; a timeout alone would hold up everyone.
                suspect = suspect or (error.code == "request_failed" and failures >= self._patience.tries - 1)
                await self._wait(failures, 0.0, began, error)
            except Busy as error:
                waits += 1
                await self._wait(waits, error.wait_s, began, error)
            except (Died, Away) as error:
                if isinstance(error, Died):
                    deaths_alone += suspect
                    suspect = True
                    if deaths_alone == self._backend.deaths_alone:
                        await self._revive(error)
                        return Completion(failure="engine_died")
                await self._revive(error)
                if isinstance(error, Away):  # it says that it is well, and may not be
                    waits += 1
                    await self._wait(waits, 0.0, began, error)
            self.repeats += 1

    async def _is_well(self, since: float) -> bool:
        """Whether the engine answers others: a sick engine must not fill the ledger with failures."""
        return self._last_answer > since or await self._backend.revive()

    async def _wait(self, count: int, asked_s: float, began: float, error: Exception) -> None:
        """Waits before another try.

        Raises:
            UserError: no one has had an answer for too long.
        """
        self._check_silence(self._lane.clock_s() - max(began, self._last_answer), error)
        patience = self._patience
        wait_s = max(asked_s, patience.first_wait_s * 2 ** min(count - 1, 16))
        await asyncio.sleep(min(wait_s, patience.longest_wait_s))

    async def _revive(self, error: Exception) -> None:
        """Returns when the engine is there again; one task tries, the others wait for it."""
        noticed = self._lane.clock_s()
        async with self._reviving:
            if self._last_death > noticed:
                return  # someone saw it come back while this task waited
            tries = 0
            while not await self._backend.revive():
                tries += 1
                await self._wait(tries, 0.0, noticed, error)
            self._last_death = self._lane.clock_s()

    def _check_silence(self, silent_s: float, error: Exception) -> None:
        if silent_s > self._patience.silence_s:
            raise UserError(
                f"the engine has not answered for {silent_s:.0f} s ({error}); what it answered is kept: "
                "the same command goes on from here"
            )
