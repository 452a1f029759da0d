"""Inputs as the user writes them -> files and folders: brace patterns, globs, URLs."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterable, Iterator

from engine.errors import UserError
from engine.sources.storage import exists, filesystem, is_url

_BRACE = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"(\d+)\.\.(\d+)")
MAX_RANGE = 1_000_000


def expand_inputs(inputs: Iterable[str]) -> list[str]:
    """Files and folders in the order given; what a glob finds is sorted.

    Raises:
        UserError: nothing there.
    """
    patterns = [one for pattern in inputs for one in dict.fromkeys(expand_braces(pattern))]
    found = [path for one in patterns for path in _expand_one(one)]
    if not found:
        raise UserError("no input given; expected files, folders or patterns: 'data/{00000..00099}.tar'")
    return found


def expand_braces(pattern: str) -> Iterator[str]:
    """`{00000..00003}` (zero padded as the first number is) and `{a,b}`, several and nested, as bash does.

    Nested choices come up more than once: callers drop the repetitions.
    """
    match = _BRACE.search(pattern)
    if not match:
        yield pattern
        return
    before, after = pattern[: match.start()], pattern[match.end() :]
    for choice in _choices(match[1]):
        yield from expand_braces(before + choice + after)


def _choices(inside: str) -> list[str]:
    match = _RANGE.fullmatch(inside)
    if not match:
        return inside.split(",")
    first, last = int(match[1]), int(match[2])
    if abs(last - first) >= MAX_RANGE:
        raise UserError(f"{{{inside}}}: {abs(last - first) + 1:,} names; at most {MAX_RANGE:,} are possible")
    step = 1 if first <= last else -1
    return [str(number).zfill(len(match[1])) for number in range(first, last + step, step)]


def _expand_one(path: str) -> list[str]:
    if is_url(path):
        return _expand_url(path)
    if exists(path):
        return [path]
    found = sorted(glob.glob(path, recursive=True))
    if not found:
        raise UserError(f"{path}: no such file or folder, and no pattern that matches any; check the path")
    return found


def _expand_url(url: str) -> list[str]:
    if "*" not in url and "[" not in url:
        return [url]
    system, inner = filesystem(url)
    found = sorted(system.unstrip_protocol(path) for path in system.glob(inner))
    if not found:
        raise UserError(f"{url}: the pattern matches nothing")
    return found
