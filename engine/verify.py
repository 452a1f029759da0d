"""`python -m engine.verify`: is a dataset whole, and does it say the truth about itself?"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from engine.command import command_parser, exit_code
from engine.numbers import cores, positive

EXAMPLE = """\
example:
  python -m engine.verify shards

Works on every MDS dataset; what only python -m engine.shard writes (sample hashes, token ids, counts) is
checked where it is there. Exit code 0: sound, 1: something is wrong, 2: usage.
"""


def make_parser() -> argparse.ArgumentParser:
    """The command line's options."""
    parser = command_parser(
        "python -m engine.verify",
        "Check sizes, hashes, index, samples, token ids and counts of an MDS dataset.",
        EXAMPLE,
    )
    parser.add_argument("folder", type=Path, metavar="DIR", help="the dataset")
    parser.add_argument(
        "--workers", type=positive, default=cores(), metavar="N", help="processes (default: one per CPU)"
    )
    parser.add_argument(
        "--skip-tokens", action="store_true", help="do not compare token ids with the text (the slowest part)"
    )
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    args = make_parser().parse_args(arguments)
    return exit_code(lambda: _verify(args), "stopped")


def _verify(args: argparse.Namespace) -> int:
    from engine.build.verification import Findings, verify
    from engine.ui import ProgressLine, count_of, duration, size

    line, findings, shown = ProgressLine(), Findings(), 0
    for findings in verify(args.folder, args.workers, not args.skip_tokens):
        if len(findings.problems) > shown:
            line.close()
            print("\n".join(findings.problems[shown:]))
            shown = len(findings.problems)
        line.update(f"{findings.samples:,} samples, {size(findings.bytes)}, {shown:,} findings")
    line.close()
    looked = f"{findings.samples:,} samples in {count_of(findings.shards, 'shard')}, {size(findings.bytes)}"
    verdict = count_of(shown, "finding") if shown else "sound"
    print(f"{args.folder}: {verdict}; looked at {looked} in {duration(line.seconds)}")
    return 1 if shown else 0


if __name__ == "__main__":
    sys.exit(main())
