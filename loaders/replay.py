"""Shows exactly what a run saw: `python -m loaders.replay RECIPE --step N` or `--key K`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from engine.command import command_parser

if TYPE_CHECKING:
    from loaders.replayer import LeftOut, Replayer, Seen

EXAMPLE = """examples:
  python -m loaders.replay yamls/veclip_b16.yaml data.local=DIR --step 1200 --html step.html
  python -m loaders.replay runs/NAME/config.yaml --step 1200 --ranks 8
  python -m loaders.replay runs/NAME/config.yaml --key https://example.org/dog.jpg

Steps are counted from 0: in log.jsonl, the loss of a step has the same number. Nothing of the steps
before is read. Exit code: 0 done, 1 failed, 2 wrong usage."""


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = command_parser(
        "python -m loaders.replay",
        "Show what a run saw at a step, or of a sample: crop, caption, source, key.",
        EXAMPLE,
    )
    parser.add_argument("recipe", help="the run's recipe, or config.yaml in its folder")
    parser.add_argument("settings", nargs="*", metavar="key=value", help="overrides that the run had")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--step", type=int, help="the global batch of this step, counted from 0")
    what.add_argument("--key", help="this sample in every epoch of the run")
    parser.add_argument(
        "--samples", type=int, default=256, help="most slots of the batch; 0: all (default %(default)s)"
    )
    parser.add_argument("--ranks", type=int, default=1, help="also tell the rank of each slot in such a run")
    parser.add_argument("--nodes", type=int, default=1, help="nodes that the ranks are spread over")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write one self-contained page")
    options = parser.parse_intermixed_args(arguments)
    if options.samples < 0 or not 1 <= options.nodes <= options.ranks or options.ranks % options.nodes:
        parser.error("--samples at least 0; --ranks a multiple of --nodes")
    return _run(options)


def _run(options: argparse.Namespace) -> int:
    # Imported late: torch takes seconds, --help must not.
    from engine.errors import UserError

    try:
        from loaders.recipe.data import read_data_recipe
        from loaders.replayer import Replayer

        replayer = Replayer(read_data_recipe(options.recipe, options.settings))
        title, seen = _step(replayer, options) if options.key is None else _key(replayer, options)
        if options.html is not None:
            _write(options.html, title, replayer, seen)
        return 0
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def _step(replayer: Replayer, options: argparse.Namespace) -> tuple[str, list[Seen]]:
    seen = replayer.step(options.step, options.samples or None)
    epoch, within = divmod(options.step, replayer.steps_per_epoch)
    title = f"Step {options.step}: epoch {epoch}, batch {within} of {replayer.steps_per_epoch}"
    print(f"{title}, {len(seen)} of {replayer.batch} samples")
    for sample in seen:
        print(_line(sample, options))
    return title, seen


def _key(replayer: Replayer, options: argparse.Namespace) -> tuple[str, list[Seen]]:
    from loaders.replayer import LeftOut

    title = f"{options.key} in steps 0 to {replayer.total - 1}"
    print(title)
    seen = []
    for sight in replayer.key(options.key):
        print(_line(sight, options), flush=True)
        if not isinstance(sight, LeftOut):
            seen.append(sight)
    return title, seen


def _line(sight: Seen | LeftOut, options: argparse.Namespace) -> str:
    from engine.native import xxh3_64
    from loaders.replayer import LeftOut
    from loaders.share import rank_of_slot

    stream = f"stream {sight.stream} " if sight.stream else ""
    if isinstance(sight, LeftOut):
        why = "the run's end" if sight.stream else "the epoch's last whole batch, or the run's end"
        return f"{stream}epoch {sight.epoch}: not seen (behind {why})"
    rank = f" rank {rank_of_slot(sight.slot, options.ranks, options.nodes)}" if options.ranks > 1 else ""
    instead = f" (in place of {sight.instead_of})" if sight.instead_of is not None else ""
    box = ",".join(map(str, sight.box))
    return (
        f"step {sight.step} {stream}epoch {sight.epoch} slot {sight.slot}{rank}  {sight.key}{instead}  "
        f"box {box} of {sight.size[0]}x{sight.size[1]}  pixels {xxh3_64(sight.image.tobytes()):016x}  "
        f"{sight.source}[{sight.number}]: {sight.caption}"
    )


def _write(path: Path, title: str, replayer: Replayer, seen: Sequence[Seen]) -> None:
    from loaders.replay_page import page

    config = replayer.config
    lines = [
        f"{replayer.where} · seed {config.seed} · global batch {replayer.batch} · {len(seen)} shown",
        "Pixels are those that the model got, before normalisation.",
    ]
    path.write_text(page(title, lines, seen, replayer.sources), encoding="utf-8")
    print(f"{path}: {len(seen)} samples, {path.stat().st_size / 1e6:,.1f} MB", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
