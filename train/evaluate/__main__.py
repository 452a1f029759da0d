"""The papers' tables: `python -m train.evaluate MODEL --tasks imagenet,vtab,coco --root DATA`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from engine.command import command_parser, exit_code

EXAMPLE = """examples:
  python -m train.evaluate runs/tiny_cpu --tasks held_out=out/tiny_test
  python -m train.evaluate runs/veclip_b16 --tasks veclip --root data --compare veclip_b16_12m
  python -m train.evaluate ViT-B-32-quickgelu --pretrained openai --tasks imagenet,vtab,retrieval --root data
  python -m train.evaluate veclip_b16_12m --tokenizer t5-base --tasks imagenet --root data
  python -m train.evaluate runs/b16 --tasks imagenet=/data/ILSVRC/val,birds=birds.csv
  composer -n 8 -m train.evaluate runs/veclip_l14 --tasks all --root data

MODEL is a run's folder or checkpoint of train/run.py, a folder of open_clip's or transformers' (such as the
released VeCLIP models), an architecture of open_clip's with --pretrained, or ORG/NAME on the Hub.
A task is a name or group of --list, NAME=PATH for data elsewhere, or OTHER=PATH for a set of your own: class
folders, a table, image-caption files of any kind that engine.shard reads, or its shards.
Features are kept by model and content: the same command goes on where it was stopped, and a second one
computes nothing. Exit code: 0 done, 1 a task failed, 2 wrong usage, 130 interrupted."""


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = command_parser(
        "python -m train.evaluate",
        "Zero-shot classification and retrieval by the papers' protocols, beside the published figures.",
        EXAMPLE,
    )
    parser.add_argument("model", nargs="?", help="what to measure (see below)")
    parser.add_argument("--tasks", metavar="A,B=PATH", help="what to measure it on")
    parser.add_argument(
        "--root", type=Path, default=Path("data"), metavar="DIR", help="folder of the data sets"
    )
    parser.add_argument("--list", action="store_true", help="print tasks, groups and where their data is had")
    _add_model_options(parser)
    _add_run_options(parser)
    options = parser.parse_args(arguments)
    if options.list:
        return exit_code(_list)
    if options.model is None or not options.tasks:
        parser.error("MODEL and --tasks are needed (or --list)")
    return exit_code(lambda: _evaluate(options))


def _add_model_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("model")
    group.add_argument(
        "--pretrained", metavar="W", help="weights of an architecture: a file or open_clip's tag"
    )
    group.add_argument("--tokenizer", metavar="WHERE", help="clip, a folder or a name, instead of its own")
    group.add_argument(
        "--transform",
        choices=("tensorflow",),
        help="instead of its own: bilinear without antialiasing, as the released VeCLIP models are fed",
    )
    group.add_argument(
        "--weights",
        choices=("averaged", "trained"),
        default="averaged",
        help="of a run with ema: the average (default) or the weights of the last step",
    )
    group.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    group.add_argument("--precision", choices=("auto", "fp32", "bf16"), default="auto")


def _add_run_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("run")
    group.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="for table and report (default: evaluation/ in a run's folder, or here)",
    )
    group.add_argument("--compare", metavar="NAME", help="a published model of --list, to stand beside")
    group.add_argument(
        "--batch-size", type=int, default=256, metavar="N", help="images a batch (default: 256)"
    )
    group.add_argument(
        "--cache", metavar="DIR", help="for features; `none` keeps none (default: the user's cache)"
    )
    group.add_argument(
        "--bad-images",
        type=int,
        default=0,
        metavar="N",
        help="how many of a set may be unreadable (default: 0)",
    )


def _list() -> None:
    from train.evaluate.listing import listing

    print(listing())


def _evaluate(options: argparse.Namespace) -> int:
    # Imported late: torch and Composer take seconds, --help must not.
    from train.evaluate.session import Choice, evaluate

    return evaluate(Choice.of(options))


if __name__ == "__main__":
    sys.exit(main())
