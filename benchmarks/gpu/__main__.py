"""The command line: python -m benchmarks.gpu --help."""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks import gpu
from benchmarks.gpu.board import Board
from benchmarks.gpu.card import find_card
from benchmarks.gpu.plan import plan
from benchmarks.gpu.report import write_report
from benchmarks.gpu.session import Session, look_around
from benchmarks.gpu.settings import choose
from benchmarks.gpu.task import Task
from engine.command import command_parser, exit_code
from engine.numbers import positive

EXAMPLE = """\
examples:
  python -m benchmarks.gpu --out docs/results/gpu
  python -m benchmarks.gpu --minutes 9 --work out/gpu --out gpu     (again, until nothing is dropped)
  python -m benchmarks.gpu --device cpu --quick --out check

Writes OUT.json after every measurement, OUT.svg, and the tables into OUT.md, between two marks if it is
there. The same command goes on where it stopped; what failed or was dropped is tried again. What is least
important is dropped first when time runs out. Nothing else may run on the card. Exit code 1: something
failed, or pixels are not right."""


def make_parser() -> argparse.ArgumentParser:
    """The command line's options."""
    parser = command_parser("python -m benchmarks.gpu", gpu.__doc__ or "", EXAMPLE)
    add = parser.add_argument
    add(
        "--out", type=Path, required=True, metavar="PATH", help="write PATH.json, PATH.svg, tables in PATH.md"
    )
    add("--images", type=Path, metavar="DIR", help="folder of JPEG files (default: drawn images)")
    add("--device", choices=("cuda", "cpu"), default="cuda", help="cpu checks that everything runs")
    add("--minutes", type=positive, default=20, help="of the clock, at most (default 20)")
    add("--quick", action="store_true", help="a tiny model, few images, seconds")
    add("--only", nargs="+", metavar="WORD", help="measurements whose names have one of these in them")
    add("--fresh", action="store_true", help="begin anew, although PATH.json is there")
    add("--work", type=Path, metavar="DIR", help="for images and logs, kept (default: a temporary folder)")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    options = make_parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # measuring processes must be ended, not left
    options.end = time.monotonic() + 60 * options.minutes
    if options.work is not None:
        return exit_code(lambda: _run(options, options.work))
    with tempfile.TemporaryDirectory() as folder:
        return exit_code(lambda: _run(options, Path(folder)))


def _run(options: argparse.Namespace, work: Path) -> int:
    card = find_card() if options.device == "cuda" else None
    images = None if options.images is None else str(options.images.resolve())
    work, choice = work.resolve(), (options.device, images, options.quick)
    facts = look_around(Task("facts", str(work), "facts", choose(*choice, 0.0), {}), card)
    settings = choose(*choice, facts["memory_gib"])
    board = Board(options.out.with_suffix(".json"), settings, facts)
    if not options.fresh:
        board.take_over()
    try:
        wanted = [m for m in plan(settings) if any(word in m.name for word in options.only or [""])]
        return 1 if Session(board, work, options.end).measure(wanted) else 0
    finally:
        write_report(board, options.out)


if __name__ == "__main__":
    sys.exit(main())
