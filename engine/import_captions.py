"""`python -m engine.import_captions`: released caption sets into a ledger."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.command import command_parser, exit_code

if TYPE_CHECKING:
    from engine.imports.run import SourceCounts

EXAMPLE = """\
examples:
  python -m engine.import_captions vecap300m wit_300m-*.json --out ledger
  python -m engine.import_captions capsfusion part-*.parquet --out ledger --against shards
  python -m engine.import_captions laclip cc3m.csv --lines chatgpt=a.txt --lines bard=b.txt --out ledger
  python -m engine.import_captions dreamlip cc3m.csv --caption dreamlip/long=longSV_captions --out ledger

Then pack them with python -m engine.shard IMAGES --captions ledger --out shards.
Captions meet images by key: give engine.shard --key-column json:url where a set is keyed by URL.
"""
# As in `engine.imports.releases.RELEASES`, so that --help need not load it.
RELEASE_NAMES = ("vecap300m", "capsfusion", "recap", "laclip", "datacompdr", "dreamlip")


def make_parser() -> argparse.ArgumentParser:
    """The command line's options."""
    parser = command_parser(
        "python -m engine.import_captions",
        "Bring a released caption set into a caption ledger, keyed by URL or file name.",
        EXAMPLE,
    )
    parser.add_argument("release", choices=RELEASE_NAMES, help="which set")
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="its files, in their order")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="LEDGER", help="the ledger; sources are added"
    )
    parser.add_argument(
        "--key", metavar="COLUMN", help="the column that names a sample (default: url if there)"
    )
    parser.add_argument(
        "--caption",
        action="append",
        default=[],
        metavar="NAME=COLUMN",
        help="a caption source and its column, instead of the usual ones; repeatable",
    )
    parser.add_argument(
        "--lines",
        action="append",
        default=[],
        metavar="NAME=TXT",
        help="laclip: rewrites, line by line with the csv's rows; repeatable",
    )
    parser.add_argument(
        "--against", type=Path, metavar="DIR", help="a dataset: print how many of its samples have a caption"
    )
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    stopped = "stopped; nothing half done is in the ledger: run the same command again"
    args = make_parser().parse_args(arguments)
    return exit_code(lambda: _import(args), stopped)


def _import(args: argparse.Namespace) -> None:
    from dataclasses import replace

    from engine.imports.run import choose_columns, import_rows

    lines = dict(_named(pair, "--lines") for pair in args.lines)
    first = next((row for _, rows in _files(args, lines) for row in rows), {})
    keys, captions = _wanted(args, lines)
    plan = choose_columns(first, keys, captions)
    read = [*args.files, *(Path(path) for path in lines.values())]
    inputs = [{"name": path.name, "bytes": path.stat().st_size} for path in read]
    counts = import_rows(_files(args, lines), replace(plan, release=args.release, inputs=inputs), args.out)
    print(_report(args, counts))


def _wanted(args: argparse.Namespace, lines: Mapping[str, str]) -> tuple[list[str], dict[str, list[str]]]:
    from engine.imports.releases import RELEASES

    release = RELEASES[args.release]
    captions = {name: list(columns) for name, columns in release.captions.items()}
    captions |= {f"rewrite/{name}": [f"rewrite/{name}"] for name in lines}
    chosen = [_named(pair, "--caption") for pair in args.caption]
    if chosen:
        captions = {name: [column] for name, column in chosen}
    return [args.key] if args.key else list(release.keys), captions


def _files(
    args: argparse.Namespace, lines: Mapping[str, str]
) -> Iterator[tuple[str, Iterator[Mapping[str, Any]]]]:
    from engine.imports.lines import with_lines
    from engine.imports.releases import RELEASES

    for file in args.files:
        rows = RELEASES[args.release].read(file)
        yield (
            str(file),
            with_lines(rows, file, {name: Path(path) for name, path in lines.items()}) if lines else rows,
        )


def _report(args: argparse.Namespace, counts: Mapping[str, SourceCounts]) -> str:
    from engine.captions.ledger import open_ledger
    from engine.imports.coverage import cover
    from engine.shards.reader import open_dataset
    from engine.ui import table

    rows = [(source, f"{count.captions:,}", _account(count)) for source, count in counts.items()]
    text = f"{args.out}:\n{table(rows)}"
    if args.against is None:
        return text
    dataset = open_dataset(args.against)
    found = {source.name: source for source in open_ledger(args.out)}
    covered = {source: cover(dataset, found[source]) for source in counts}
    against = [
        (name, f"{c.matched:,}", f"samples matched, {c.missing:,} missing, {c.extra:,} captions extra")
        for name, c in covered.items()
    ]
    return f"{text}\n{args.against}, {len(dataset):,} samples:\n{table(against)}"


def _account(count: SourceCounts) -> str:
    rejected = sum(count.rejected.values())
    codes = "".join(f", {code} {number:,}" for code, number in sorted(count.rejected.items()))
    before = "imported before: " if count.before else ""
    duplicates = f"{count.duplicates:,} duplicates"
    return f"{before}captions of {count.rows:,} rows, {duplicates}, {rejected:,} rejected{codes}"


def _named(pair: str, option: str) -> tuple[str, str]:
    from engine.errors import UserError

    name, sign, value = pair.partition("=")
    if not (name and sign and value):
        raise UserError(f"{option} {pair}: expected NAME=VALUE")
    return name, value


if __name__ == "__main__":
    sys.exit(main())
