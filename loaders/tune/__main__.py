"""The command: `python -m loaders.tune CONFIG`."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path

from engine.command import command_parser, exit_code

EXAMPLE = """examples:
  python -m loaders.tune yamls/veclip_b16.yaml data.local=DIR
  python -m loaders.tune yamls/veclip_b16.yaml data.local=DIR --ranks 8 --seconds 120 --json tune.json

It measures the loader alone: of one rank, with that rank's share of the global batch and of the cores,
again and again on the first samples of the recipe's data. Neither a disk nor a remote is measured, nor a
model: with training on the same cores (on a CPU) fewer threads may be better, and a rate above what the
model consumes is enough. Of several nodes, measure one with its share of global_train_batch_size.
Exit code: 0 done, 1 failed, 2 wrong usage, 130 stopped by Ctrl-C (what is known by then is printed)."""


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = command_parser(
        "python -m loaders.tune",
        "Measure which decoder, threads and prefetch give a recipe the most samples/s on this machine.",
        EXAMPLE,
    )
    parser.add_argument("recipe", help="the run's recipe")
    parser.add_argument("settings", nargs="*", metavar="key=value", help="overrides, such as data.local=DIR")
    parser.add_argument(
        "--ranks",
        type=int,
        metavar="N",
        help="ranks that share this machine (default: a rank for each GPU, or 1)",
    )
    parser.add_argument(
        "--seconds", type=float, default=60.0, metavar="S", help="time for measuring (default %(default)g)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result as JSON too")
    options = parser.parse_intermixed_args(arguments)
    if (options.ranks is not None and options.ranks < 1) or not 0 < options.seconds < math.inf:
        parser.error("--ranks at least 1; --seconds more than 0")
    return exit_code(lambda: _run(options), "stopped; this is what was known by then")


def _run(options: argparse.Namespace) -> None:
    from loaders.tune.run import Options, run  # imported late: torch takes seconds, --help must not

    run(Options(**vars(options)))


if __name__ == "__main__":
    sys.exit(main())
