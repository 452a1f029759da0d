"""A worker process of the loader ends when its own rank says so, not when a scheduler signals a whole group.

torch's workers die of any SIGTERM, and the rank with them, while it saves what it has.
"""

from __future__ import annotations

import os
import signal
import threading


def heed_own_rank_only() -> None:
    """Let SIGTERM end this process only if its parent sent it; call it first thing in a worker.

    Without `sigwaitinfo` (macOS), nothing is changed.
    """
    if not hasattr(signal, "sigwaitinfo"):
        return
    # Threads started from now on block it as well, so that the one that waits gets it.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    threading.Thread(target=_wait, args=(os.getppid(),), daemon=True, name="worker-signals").start()


def _wait(rank: int) -> None:
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != rank:
        pass
    os._exit(0)  # as torch's own handler
