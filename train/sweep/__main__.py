"""`python -m train.sweep SWEEP.yaml`: the runs of a sweep, and their table."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from engine.command import INTERRUPTED, command_parser, exit_code

EXAMPLE = """\
examples:
  python -m train.sweep yamls/sweeps/ablation.yaml
  python -m train.sweep yamls/sweeps/ablation.yaml --rows vecap,hcs-mixed --seeds 1
  python -m train.sweep yamls/sweeps/ablation.yaml --table-only

Each run is a command of train/run.py in FOLDER/ROW-SEED, with its output in FOLDER/ROW-SEED.log. A run that
has results is not repeated, one that was stopped goes on. Exit code: 0 done, 1 a run failed, 130 stopped."""


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = command_parser(
        "python -m train.sweep",
        "Train every row of a sweep file with every seed, and print one table.",
        EXAMPLE,
    )
    parser.add_argument("sweep", type=Path, help="a YAML file, such as yamls/sweeps/ablation.yaml")
    parser.add_argument("settings", nargs="*", metavar="key=value", help="for all rows, below their own")
    parser.add_argument("--rows", default="", metavar="A,B", help="only these rows")
    parser.add_argument("--seeds", type=_seeds, default=(), metavar="1,2,3", help="instead of the file's")
    parser.add_argument("--table-only", action="store_true", help="train nothing")
    options = parser.parse_intermixed_args(arguments)
    return exit_code(lambda: _run(options))


def _run(options: argparse.Namespace) -> int:
    # Imported late: torch and Composer take seconds, --help must not.
    from train.sweep.plan import Choice, load_sweep
    from train.sweep.runs import Outcome, Stopped, run_all
    from train.sweep.table import build_table, collect, markdown, write_table

    rows = [name for name in options.rows.split(",") if name]
    sweep = load_sweep(options.sweep, Choice(rows, options.seeds, options.settings))
    try:
        outcome = Outcome() if options.table_only else run_all(sweep, lambda line: print(line, flush=True))
    except Stopped:
        print("stopped; the same command goes on from here", file=sys.stderr)
        return INTERRUPTED
    if options.table_only or len(outcome.failed) < len(sweep.runs):
        table = build_table(sweep.config, collect(sweep))
        print("\n" + markdown(sweep.config, table))
        whole = load_sweep(options.sweep, Choice(words=options.settings))
        if {run.folder for run in sweep.runs} <= {run.folder for run in whole.runs}:
            sweep, table = whole, build_table(whole.config, collect(whole))
        print(f"written: {', '.join(str(path) for path in write_table(sweep, table))}")
    for name, reason in outcome.failed.items():
        print(f"error: {name}: {reason}", file=sys.stderr)
    return 1 if outcome.failed else 0


def _seeds(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}: expected numbers with commas between them") from None


if __name__ == "__main__":
    sys.exit(main())
