"""`python -m engine.shard`: pack image-text pairs into MDS shards with tokenised captions."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from engine.command import exit_code, source_parser
from engine.numbers import cores, positive

if TYPE_CHECKING:
    from engine.build.options import BuildOptions
    from engine.build.run import RunOptions
    from engine.captions.selection import Selection

EXAMPLE = """\
examples:
  python -m engine.shard 'data/{00000..00099}.tar' --out shards
  python -m engine.shard 'data/*.tar' --caption alttext=txt --caption vecap=json:vecap --out shards
  python -m engine.shard 'data/*.tar' --captions ledger --min-score alttext=0.2 --keep-top 2 --out shards
  python -m engine.shard captions.csv --caption first='caption[0]' --caption rest='caption[1:]' --out shards

A build that was stopped goes on with the same command. Look at the result with
python -m engine.verify shards and python -m engine.inspect shards --terminal.
"""


def make_parser() -> argparse.ArgumentParser:
    """The command line's options."""
    description = "Pack image-text pairs into MDS shards with tokenised captions."
    return source_parser("shard", description, EXAMPLE, _add_output, _add_selection, _add_images, _add_run)


def main(arguments: list[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    args = make_parser().parse_args(arguments)
    return exit_code(lambda: _run(args))


def _run(args: argparse.Namespace) -> int:
    from engine.build.report import ProgressReport, summary
    from engine.build.run import build
    from engine.sources import open_source

    options, run = _build_options(args), _run_options(args)
    with ProgressReport() as progress:
        result = build(open_source(options.source), options, run, progress.show)
    print(summary(result, run.out, progress.seconds))
    return 0


def _add_output(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("output")
    group.add_argument("--out", type=Path, required=True, metavar="DIR", help="the dataset's folder")
    group.add_argument(
        "--captions", nargs="+", default=[], metavar="LEDGER",
        help="add captions (engine.recaption) and scores (engine.score) of ledgers; a later one counts more",
    )  # fmt: skip
    group.add_argument(
        "--tokenizer", default="clip", metavar="NAME", help="clip (default), or a Hugging Face folder or name"
    )
    group.add_argument(
        "--context-length", type=int, metavar="N", help="most token ids a caption (default 77)"
    )
    group.add_argument(
        "--size-limit", type=_size, default="64mb", metavar="SIZE", help="of a raw shard (default 64mb)"
    )
    group.add_argument(
        "--hashes", default="xxh3_64", metavar="A,B", help="of every shard file (default xxh3_64)"
    )
    group.add_argument("--compression", metavar="zstd[:N]", help="compress shards (JPEG gains about 2 %%)")


def _add_selection(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group(
        "selection by score (each repeatable; without a caption source NAME, for all of them)"
    )
    for name, value, words in (
        ("min-score", "T", "leave out captions with lower scores, and with none"),
        ("keep-top", "K", "keep the K best captions of the source; without NAME: of the sample"),
        ("min-sample-score", "T", "reject samples whose best caption scores lower"),
        ("top-share", "P", "keep this share of the samples, by their best scores, e.g. alttext=30%%"),
    ):
        group.add_argument(f"--{name}", action="append", default=[], metavar=f"[NAME=]{value}", help=words)
    group.add_argument(
        "--scorer", metavar="NAME", help="model whose scores count, where ledgers have those of several"
    )


def _add_images(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("images")
    group.add_argument(
        "--check", choices=("full", "header"), default="full",
        help="decode every image (default), or trust what its header says",
    )  # fmt: skip
    group.add_argument(
        "--resize", type=int, default=0, metavar="PX",
        help="reduce larger images to this shorter side; smaller ones are kept byte for byte",
    )  # fmt: skip
    group.add_argument("--quality", type=int, default=90, help="JPEG quality of reduced images (default 90)")
    group.add_argument("--subsampling", choices=("420", "422", "444"), default="420", help="default 420")
    group.add_argument(
        "--lossless-clean", action="store_true",
        help="progressive JPEG to baseline, metadata removed; pixels stay the same",
    )  # fmt: skip
    group.add_argument("--max-pixels", type=int, default=64_000_000, metavar="N", help="default 64,000,000")
    group.add_argument("--max-side", type=int, default=16_384, metavar="PX", help="default 16,384")


def _add_run(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("run (changes no byte of the result)")
    group.add_argument(
        "--workers", type=positive, default=cores(), metavar="N", help="processes (default: one per CPU)"
    )
    group.add_argument("--executor", choices=("local", "ray"), default="local", help="default local")
    group.add_argument(
        "--max-failures", default="5%", metavar="N",
        help="stop after so many failed samples: a number, or a share once there are 1,000 (default 5%%)",
    )  # fmt: skip


def _build_options(args: argparse.Namespace) -> BuildOptions:
    from engine.build.options import BuildOptions, ImageOptions, PackOptions
    from engine.sources.cli import source_options

    image = ImageOptions(
        check=args.check,
        resize_shorter=args.resize,
        quality=args.quality,
        subsampling=args.subsampling,
        lossless_clean=args.lossless_clean,
        max_pixels=args.max_pixels,
        max_side=args.max_side,
    )
    pack = PackOptions(args.size_limit, tuple(sorted(args.hashes.split(","))), args.compression)
    # A sample's only captions may be those of a ledger.
    source = replace(source_options(args), without_captions=bool(args.captions))
    return BuildOptions(
        source=source,
        tokenizer=args.tokenizer,
        context_length=args.context_length,
        image=image,
        pack=pack,
        ledgers=tuple(args.captions),
        scorer=args.scorer,
        selection=_selection(args),
    )


def _selection(args: argparse.Namespace) -> Selection:
    from engine.captions.rules import parse_rules, score, share, whole
    from engine.captions.selection import Selection

    return Selection(
        min_score=parse_rules(args.min_score, "--min-score", score),
        keep_top=parse_rules(args.keep_top, "--keep-top", whole),
        min_sample_score=parse_rules(args.min_sample_score, "--min-sample-score", score),
        top_share=parse_rules(args.top_share, "--top-share", share),
    )


def _run_options(args: argparse.Namespace) -> RunOptions:
    from engine.build.budget import parse_budget
    from engine.build.run import RunOptions

    return RunOptions(args.out, args.workers, args.executor, parse_budget(args.max_failures))


def _size(text: str) -> int:
    """`64mb`, `512kb`, `1gb` or bytes; powers of 1,024, as Streaming counts."""
    units = {"kb": 1 << 10, "mb": 1 << 20, "gb": 1 << 30}
    lower = text.lower()
    unit = next((unit for unit in units if lower.endswith(unit)), "")
    number = lower.removesuffix(unit)
    if not (number.isascii() and number.isdigit()):
        raise argparse.ArgumentTypeError(f"{text!r}: expected bytes or a number with kb, mb or gb")
    return int(number) * units.get(unit, 1)


if __name__ == "__main__":
    sys.exit(main())
