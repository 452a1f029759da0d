"""`python -m engine.inspect`: look at what is in a dataset."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from engine.command import command_parser, exit_code
from engine.numbers import positive

if TYPE_CHECKING:
    from engine.page.inputs import Choice
    from engine.shards.reader import MdsDataset

_ON_A_SCREEN = 3
_ON_A_PAGE = 1000

EXAMPLE = """\
examples:
  python -m engine.inspect shards --terminal
  python -m engine.inspect shards --terminal --random --count 5 --seed 3
  python -m engine.inspect shards --key 000000012
  python -m engine.inspect shards --html samples.html --random --count 2000 --captions ledger
  python -m engine.inspect ledger --html captions.html
"""


def make_parser() -> argparse.ArgumentParser:
    """The command line's options."""
    parser = command_parser(
        "python -m engine.inspect",
        "Show samples of a dataset: key, captions by source with their token counts, image; "
        "as text, drawn in the terminal, or as one HTML page to search and filter.",
        EXAMPLE,
    )
    parser.add_argument(
        "folder", type=Path, metavar="DIR", help="the dataset, or with --html a caption ledger"
    )
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--terminal", action="store_true", help="draw the images in the terminal")
    where.add_argument("--html", type=Path, metavar="FILE", help="write one self-contained page")
    parser.add_argument(
        "--captions", type=Path, action="append", default=[], metavar="LEDGER",
        help="with --html: show these ledgers' captions and codes beside the samples; repeatable",
    )  # fmt: skip
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--index", type=int, metavar="N", help="begin with this sample (default 0)")
    which.add_argument("--key", action="append", metavar="KEY", help="the sample with this key; repeatable")
    which.add_argument("--random", action="store_true", help="samples drawn at random")
    parser.add_argument("--seed", type=int, default=0, help="of --random (default 0)")
    parser.add_argument(
        "--count",
        type=positive,
        metavar="N",
        help="samples to show (default 3; with --html 1000, about 8 MB)",
    )
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    args = make_parser().parse_args(arguments)
    return exit_code(lambda: _inspect(args), "stopped")


def _inspect(args: argparse.Namespace) -> None:
    from engine.build.inspection import Screen, choose, find_keys, show_sample, show_summary
    from engine.shards.reader import open_dataset

    if args.html is not None and not (args.folder / "index.json").exists():
        return _write_ledger(args)
    dataset = open_dataset(args.folder)
    print(show_summary(dataset))
    if args.html is not None:
        return _write_dataset(args, dataset)
    if args.key:
        chosen = find_keys(dataset, args.key)
    else:
        count = args.count or _ON_A_SCREEN
        chosen = choose(len(dataset), args.index or 0, count, args.seed if args.random else None)
    screen = Screen.of_terminal() if args.terminal else None
    for index in chosen:
        print(f"\n{show_sample(dataset, index, screen)}")


def _write_dataset(args: argparse.Namespace, dataset: MdsDataset) -> None:
    from engine.page.inputs import dataset_page

    _report(args.html, dataset_page(args.html, dataset, args.captions, _choice(args)))


def _write_ledger(args: argparse.Namespace) -> None:
    from engine.page.inputs import ledger_page

    _report(args.html, ledger_page(args.html, [args.folder, *args.captions], _choice(args)))


def _choice(args: argparse.Namespace) -> Choice:
    from engine.page.inputs import Choice

    seed = args.seed if args.random else None
    return Choice(tuple(args.key or ()), args.index or 0, args.count or _ON_A_PAGE, seed)


def _report(path: Path, shown: int) -> None:
    print(f"{path}: {shown:,} samples; open it in a browser")


if __name__ == "__main__":
    sys.exit(main())
