"""`python -m engine.score`: how well each caption fits its image, by any CLIP model, into a ledger."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from engine.command import exit_code, source_parser
from engine.numbers import positive

if TYPE_CHECKING:
    from engine.scoring.options import RunOptions, ScoreOptions

EXAMPLE = """\
examples:
  python -m engine.score 'data/*.tar' --captions captions --model models/ViT-B-32 --out captions
  python -m engine.score 'data/*.tar' --model openai/clip-vit-base-patch32 --out scores
  python -m engine.score 'data/*.tar' --model ViT-B-32 --pretrained laion2b_s34b_b79k --out scores

Then pack them with python -m engine.shard 'data/*.tar' --captions captions --out shards.
A run that was stopped goes on with the same command.
"""
# As in `engine.scoring.options`, so that --help need not load it.
DEVICES = ("auto", "cpu", "cuda")
PRECISIONS = ("auto", "fp32", "bf16")


def make_parser() -> argparse.ArgumentParser:
    """The command line's options."""
    description = (
        "Score captions of the input and of ledgers: the cosine of a CLIP model's image and text features."
    )
    return source_parser("score", description, EXAMPLE, _add_scores, _add_run)


def main(arguments: list[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    args = make_parser().parse_args(arguments)
    return exit_code(lambda: _run(args))


def _run(args: argparse.Namespace) -> int:
    from engine.build.report import ProgressReport
    from engine.scoring.report import summary
    from engine.scoring.run import score
    from engine.sources import open_source

    options, run = _score_options(args), _run_options(args)
    with ProgressReport() as progress:
        result = score(open_source(options.source), options, run, progress.show)
    print(summary(result, progress.seconds))
    return 0


def _add_scores(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("scores")
    group.add_argument("--out", type=Path, required=True, metavar="DIR", help="the ledger's folder")
    group.add_argument(
        "--captions", nargs="+", default=[], metavar="LEDGER",
        help="score the captions of these ledgers too (those of --out are scored anyway)",
    )  # fmt: skip
    group.add_argument(
        "--sources", nargs="+", default=[], metavar="NAME", help="caption sources to score (default: all)"
    )
    group.add_argument(
        "--model", required=True, metavar="NAME",
        help="a folder with an open_clip or Hugging Face model, a name on the Hub, or a name of open_clip's",
    )  # fmt: skip
    group.add_argument(
        "--pretrained", metavar="TAG", help="weights of a name of open_clip's: its tag for them, or a file"
    )
    group.add_argument("--revision", metavar="REV", help="of a name on the Hub")
    group.add_argument(
        "--precision", choices=PRECISIONS, default="auto", help="default: bf16 on a GPU, fp32 on a CPU"
    )


def _add_run(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("run")
    group.add_argument("--device", choices=DEVICES, default="auto", help="default: a GPU if there is one")
    group.add_argument(
        "--workers", type=positive, metavar="N",
        help="processes, each with a model of its own (default: 1 on a GPU, one per CPU otherwise)",
    )  # fmt: skip
    group.add_argument(
        "--executor", choices=("local", "ray"), default="local",
        help="default local; ray gives every worker a GPU of its own",
    )  # fmt: skip
    group.add_argument(
        "--max-failures", default="5%", metavar="N",
        help="stop after so many failed samples: a number, or a share once there are 1,000 (default 5%%)",
    )  # fmt: skip


def _score_options(args: argparse.Namespace) -> ScoreOptions:
    from engine.scoring.options import ModelChoice, ScoreOptions, caption_ledgers
    from engine.sources.cli import source_options

    ledgers = caption_ledgers(args.captions, args.out)
    # A sample's only captions may be those of a ledger.
    source = replace(source_options(args), without_captions=bool(ledgers))
    model = ModelChoice(args.model, args.pretrained, args.revision)
    return ScoreOptions(source, ledgers, tuple(args.sources), model)


def _run_options(args: argparse.Namespace) -> RunOptions:
    from engine.build.budget import parse_budget
    from engine.scoring.options import RunOptions

    budget = parse_budget(args.max_failures)
    return RunOptions(args.out, args.workers, args.executor, budget, args.device, args.precision)


if __name__ == "__main__":
    sys.exit(main())
