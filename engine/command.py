"""How the commands that can be stopped and go on end: exit codes and last words."""

from __future__ import annotations

import sys
from collections.abc import Callable

INTERRUPTED = 130  # 128 + SIGINT, as shells have it


def exit_code(work: Callable[[], int]) -> int:
    """What `work` gives; 1 after an error, which goes to stderr in one line."""
    from engine.errors import UserError
    from engine.native import NativeError

    try:
        return work()
    except (UserError, NativeError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped; the same command goes on from here", file=sys.stderr)
        return INTERRUPTED
