"""What differs between the plan of an existing output and the one asked for, option by option."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from engine.errors import UserError

MOST_LINES = 20


def differences(before: Any, now: Any, path: str = "") -> Iterator[str]:
    """Lines such as `image.quality: 90 there, 80 now`."""
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        # The order of captions is the order of the sources, so it counts.
        for key in dict.fromkeys([*before, *now]):
            below = f"{path}.{key}" if path else str(key)
            yield from differences(before.get(key), now.get(key), below)
        if before == now and list(before) != list(now):
            yield f"{path}: order {', '.join(before)} there, {', '.join(now)} now"
    elif isinstance(before, list) and isinstance(now, list) and len(before) == len(now):
        for at, (old, new) in enumerate(zip(before, now, strict=True)):
            yield from differences(old, new, f"{path}[{at}]")
    elif before != now:
        yield f"{path}: {_show(before)} there, {_show(now)} now"


def explain(before: Any, now: Any) -> str:
    """All differences, one a line, indented; empty if there is none."""
    lines = list(differences(before, now))
    more = len(lines) - MOST_LINES
    shown = lines[:MOST_LINES] + ([f"... and {more} more"] if more > 0 else [])
    return "\n".join(f"  {line}" for line in shown)


def require_same(out: Path, found: Mapping[str, Any], plan: Mapping[str, Any]) -> None:
    """Compares what an output folder was begun with and what is asked for now.

    Raises:
        UserError: they differ; names the differences.
    """
    difference = explain({name: found.get(name) for name in plan}, plan)
    if difference:
        raise UserError(
            f"{out}: was made with other options or inputs:\n{difference}\n"
            "  run the command it was begun with, name another --out, or remove the folder"
        )


def _show(value: Any) -> str:
    if value is None:
        return "not set"
    if isinstance(value, list):
        return f"{len(value)} entries"
    return str(value)
