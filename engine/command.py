"""What commands that read a source share: their options, exit codes and last words."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

INTERRUPTED = 130  # 128 + SIGINT, as shells have it


Group = Callable[[argparse.ArgumentParser], None]


def command_parser(prog: str, description: str, examples: str) -> argparse.ArgumentParser:
    """A parser whose help ends with examples, as they are."""
    return argparse.ArgumentParser(
        prog=prog,
        description=description,
        epilog=examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def source_parser(name: str, description: str, examples: str, *groups: Group) -> argparse.ArgumentParser:
    """The options of `python -m engine.NAME`: those of its input, and what each of `groups` adds."""
    from engine.sources.cli import add_source_arguments

    parser = command_parser(f"python -m engine.{name}", description, examples)
    for add in (add_source_arguments, *groups):
        add(parser)
    return parser


def exit_code(
    work: Callable[[], int | None], stopped: str = "stopped; the same command goes on from here"
) -> int:
    """What `work` gives, 0 for nothing; 1 after an error, which goes to stderr in one line.

    `stopped` is said after Ctrl-C.
    """
    from engine.errors import UserError
    from engine.native import NativeError

    try:
        return work() or 0
    except (UserError, NativeError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except (KeyboardInterrupt, SystemExit) as stop:
        # Composer's handler of signals, once it is imported, exits with 128 + the signal's number.
        if isinstance(stop, SystemExit) and stop.code != INTERRUPTED:
            raise
        print(stopped, file=sys.stderr)
        return INTERRUPTED
