"""Trains CLIP from a recipe: `composer train/run.py yamls/NAME.yaml key=value ...`.

Runs alike under `composer -n N`, `torchrun --nproc-per-node N` and plain python, on GPUs or CPUs.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

# 128 + the numbers of SIGINT and SIGTERM, as a shell says it.
INTERRUPTED, STOPPED = 130, 143
TOO_EARLY = "stopped by SIGTERM before the first step; no step was taken, begin again with autoresume=true"
ROOT = Path(__file__).resolve().parent.parent
EXAMPLE = """examples:
  composer train/run.py yamls/tiny_cpu.yaml data.local=out/tiny_train
  composer -n 8 train/run.py yamls/veclip_b16.yaml data.local=DIR run_name=first optimizer.lr=1e-3
  composer -n 8 train/run.py yamls/clip_b16.yaml data.local=DIR autoresume=true

Every setting, with its default, is in train/config.py. The resolved settings are printed
and saved as config.yaml in save_folder. SIGTERM ends training after the step or the batch of held-out data
under way, with a checkpoint (within 30 s under Composer's launcher); Ctrl-C at once.
Exit code: 0 done, 1 failed, 2 wrong usage, 130 interrupted, 143 stopped by SIGTERM."""


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    from engine.command import command_parser  # once the path is set, below

    parser = command_parser(
        "composer train/run.py",
        "Train CLIP on a data set of engine.shard, from a recipe in YAML.",
        EXAMPLE,
    )
    parser.add_argument("recipe", help="a YAML file, such as yamls/tiny_cpu.yaml")
    parser.add_argument(
        "settings", nargs="*", metavar="key=value", help="overrides, such as optimizer.lr=1e-3"
    )
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, _terminate)
    code = _run(options.recipe, options.settings)
    if code == STOPPED:
        # The launcher tells ranks that are still ending to end; Python would die of it while it cleans up.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    return code


def _run(recipe: str, settings: Sequence[str]) -> int:
    # Imported late: torch and Composer take seconds, --help must not.
    from engine.errors import UserError

    session = None
    try:
        from train.assembly import open_session
        from train.config import load_config

        config = load_config(recipe, settings, int(os.environ.get("WORLD_SIZE", "1")))
        session = open_session(config)
        return 0 if session.run() else STOPPED
    except UserError as error:
        _tell(str(error), everyone=session is not None or _have_met())
        return 1
    except (KeyboardInterrupt, SystemExit) as stop:
        # Composer's own signal handlers exit with 128 + the signal's number, as ours does.
        if isinstance(stop, SystemExit) and stop.code == STOPPED:
            if os.environ.get("RANK", "0") == "0":
                print(TOO_EARLY, file=sys.stderr)
            return STOPPED
        if isinstance(stop, SystemExit) and stop.code != INTERRUPTED:
            raise
        _tell("interrupted; the latest checkpoint is kept, go on with autoresume=true", everyone=False)
        return INTERRUPTED


def _have_met() -> bool:
    """Whether the ranks are a group: from then on one of them may fail by itself."""
    from torch import distributed

    return distributed.is_available() and distributed.is_initialized()


def _tell(message: str, everyone: bool) -> None:
    """One line on stderr: from rank 0 before training (all ranks fail alike), from whoever failed after
    that."""
    rank = int(os.environ.get("RANK", "0"))
    if rank == 0:
        print(f"error: {message}", file=sys.stderr, flush=True)
    elif everyone:
        print(f"error: rank {rank}: {message}", file=sys.stderr, flush=True)


def _terminate(number: int, frame: object) -> None:
    raise SystemExit(STOPPED)


if __name__ == "__main__":
    # As a script, Python puts train/ first on the path, where its modules would hide others of the same name.
    sys.path[:] = [str(ROOT), *(p for p in sys.path if p and Path(p).resolve() not in (ROOT, ROOT / "train"))]
    sys.exit(main())
