"""Numbers that the command lines share."""

from __future__ import annotations

import argparse
import os


def cores() -> int:
    """CPU cores that this process may use: in a container often fewer than the machine has."""
    return len(os.sched_getaffinity(0))


def positive(text: str) -> int:
    """A command line's whole number above 0.

    Raises:
        argparse.ArgumentTypeError: anything else.
    """
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"{text!r}: expected a number above 0")
    return int(text)
