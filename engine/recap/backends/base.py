"""The interface of an engine, and the ways in which it can fail one request."""

from __future__ import annotations

import re
from typing import Protocol

from engine.recap.requests import Completion, Request


class RequestError(Exception):
    """An engine did not answer a request."""


class Refused(RequestError):
    """This request is wrong for this engine; it would be refused again."""


class TooLong(RequestError):
    """The prompt and the longest answer do not fit the model together.

    `share` is how much of the prompt would fit, 0 to 1, None where the engine does not say.
    """

    def __init__(self, message: str, share: float | None = None) -> None:
        """Keep the share."""
        super().__init__(message)
        self.share = share


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


# vLLM's words in process and as a server, and what others that speak OpenAI's protocol say.
_LENGTH = re.compile(r"maximum (context|model) length|context_length_exceeded", re.I)


def says_too_long(message: str) -> bool:
    """Whether an engine's refusal is about the length of the prompt."""
    return _LENGTH.search(message) is not None


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
