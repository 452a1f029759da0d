"""The interface of an engine, and the ways in which it can fail one request."""

from __future__ import annotations

from typing import Protocol

from engine.recap.requests import Completion, Request


class RequestError(Exception):
    """An engine did not answer a request."""


class Refused(RequestError):
    """This request is wrong for this engine; it would be refused again."""


class Failed(RequestError):
    """An error or no answer; another try may succeed. `code` is what a row gets if none does."""

    def __init__(self, code: str, message: str) -> None:
        """Keep the code."""
        super().__init__(message)
        self.code = code


class Busy(RequestError):
    """The engine asks to wait; `wait_s` is how long, 0 if it does not say."""

    def __init__(self, message: str, wait_s: float = 0.0) -> None:
        """Keep the time."""
        super().__init__(message)
        self.wait_s = wait_s


class Away(RequestError):
    """The engine could not be reached: the request never came to it."""


class Died(RequestError):
    """The engine went away while it had the request, which may be why."""


class Backend(Protocol):
    """Answers requests, many at a time; lives in one event loop."""

    model: str
    """As the ledger names it."""
    revision: str
    """Which version of the model; empty if unknown."""
    template_hash: str
    """Of the model's own chat template; empty if it is not known."""
    deaths_alone: int
    """After how many deaths with one request alone it is set aside: 1 where no one else can be to blame."""

    async def open(self) -> None:
        """Connects or loads.

        Raises:
            UserError: it cannot be reached or loaded.
        """

    async def generate(self, request: Request) -> Completion:
        """Answers one request.

        Raises:
            RequestError: one of the kinds above.
        """

    async def revive(self) -> bool:
        """Brings a dead engine back, or sees that it is back; whether it answers a request of one token."""

    async def close(self) -> None:
        """Lets go of everything."""
