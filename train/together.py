"""What one rank finds out, all ranks know: choices and failures of a part of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from composer.utils import dist

from engine.errors import UserError

T = TypeVar("T")


def attempt(act: Callable[[], T]) -> tuple[T | None, str | None]:
    """Return what `act` returns, or how it failed."""
    try:
        return act(), None
    except (UserError, OSError) as error:
        return None, str(error)


def fail_alike(failure: str | None) -> None:
    """Raise on all ranks what failed on any of them; every rank calls it.

    Raises:
        UserError: the first one's failure.
    """
    for told in dist.all_gather_object(failure):
        if told is not None:
            raise UserError(told)


def on_first(act: Callable[[], T]) -> T | None:
    """Return on rank 0 what `act` returns there, elsewhere None; every rank calls it.

    Raises:
        UserError: on all ranks, when it failed.
    """
    value, failure = attempt(act) if dist.get_global_rank() == 0 else (None, None)
    fail_alike(failure)
    return value


def agree(choose: Callable[[], T]) -> T:
    """Return on all ranks what `choose` returns on rank 0 (anything that can be pickled).

    Raises:
        UserError: on all ranks, when it failed.
    """
    values = [on_first(choose)]
    dist.broadcast_object_list(values)
    return values[0]  # type: ignore[return-value]
