"""`python -m engine.inspect`: look at what is in a dataset."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from engine.numbers import positive

EXAMPLE = """\
examples:
  python -m engine.inspect shards --terminal
  python -m engine.inspect shards --terminal --random --count 5 --seed 3
  python -m engine.inspect shards --key 000000012
"""


def make_parser() -> argparse.ArgumentParser:
    """The command line's options."""
    parser = argparse.ArgumentParser(
        prog="python -m engine.inspect",
        description="Show samples of a dataset: key, captions by source with their token counts, image.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", type=Path, metavar="DIR", help="the dataset")
    parser.add_argument("--terminal", action="store_true", help="draw the images in the terminal")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--index", type=int, metavar="N", help="begin with this sample (default 0)")
    which.add_argument("--key", action="append", metavar="KEY", help="the sample with this key; repeatable")
    which.add_argument("--random", action="store_true", help="samples drawn at random")
    parser.add_argument("--seed", type=int, default=0, help="of --random (default 0)")
    parser.add_argument("--count", type=positive, default=3, metavar="N", help="samples to show (default 3)")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    args = make_parser().parse_args(arguments)
    from engine.errors import UserError
    from engine.native import NativeError

    try:
        _inspect(args)
    except (UserError, NativeError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _inspect(args: argparse.Namespace) -> None:
    from engine.build.inspection import Screen, choose, find_keys, show_sample, show_summary
    from engine.shards.reader import open_dataset

    dataset = open_dataset(args.folder)
    print(show_summary(dataset))
    if args.key:
        chosen = find_keys(dataset, args.key)
    else:
        chosen = choose(len(dataset), args.index or 0, args.count, args.seed if args.random else None)
    screen = Screen.of_terminal() if args.terminal else None
    for index in chosen:
        print(f"\n{show_sample(dataset, index, screen)}")


if __name__ == "__main__":
    sys.exit(main())
