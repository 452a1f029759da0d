"""Retrieval of a trained checkpoint: `python -m train.evaluate CHECKPOINT_OR_RUN_DIR --data DIR`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from engine.command import command_parser

EXAMPLE = """example:
  python -m train.evaluate runs/tiny_cpu --data out/tiny_test --json out/tiny_retrieval.json

DIR is a data set of engine.shard, tokenised with the model's tokenizer. Every caption of the chosen sources
is a text. A query counts as found when any of its correct items is among the k best; ties go to the lower
index."""


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = command_parser(
        "python -m train.evaluate",
        "Measure retrieval, R@1/5/10 in both directions.",
        EXAMPLE,
    )
    parser.add_argument(
        "checkpoint", help="a run's folder (its latest checkpoint) or a checkpoint file in it"
    )
    parser.add_argument("--data", required=True, metavar="DIR", help="held-out data set")
    parser.add_argument("--sources", default="", metavar="A,B", help="caption sources to use (default: all)")
    parser.add_argument(
        "--batch-size", type=int, default=128, metavar="N", help="images a batch (default: 128)"
    )
    parser.add_argument(
        "--weights",
        choices=("averaged", "trained"),
        default="averaged",
        help="of a run with ema: the average (default) or the weights of the last step",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the numbers to FILE")
    options = parser.parse_args(arguments)
    # Imported late: torch and Composer take seconds, --help must not.
    from engine.errors import UserError

    try:
        _evaluate(options)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("error: interrupted", file=sys.stderr)
        return 130
    return 0


def _evaluate(options: argparse.Namespace) -> None:
    from composer.utils import get_device

    from loaders.retrieval import RetrievalConfig
    from train.heldout.retrieval import evaluate_retrieval, format_table, write_results
    from train.keeping.checkpoints import load_model

    model, card, path = load_model(options.checkpoint, options.weights == "averaged")
    config = RetrievalConfig(
        local=options.data,
        batch_size=options.batch_size,
        sources=tuple(name for name in options.sources.split(",") if name),
        image_size=card.architecture.image_size,
        mean=card.normalisation.mean,
        std=card.normalisation.std,
        tokenizer_fingerprint=card.tokenizer.fingerprint,
        tokenizer_name=card.tokenizer.name,
    )
    table = evaluate_retrieval(get_device(None).module_to_device(model), config)
    print(f"checkpoint: {path}")
    print(format_table(table))
    if options.json is not None:
        write_results(options.json, {"checkpoint": str(path), "data": options.data, **table})
        print(f"written: {options.json}")


if __name__ == "__main__":
    sys.exit(main())
