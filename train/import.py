"""A model of open_clip or transformers as one of ours: `python -m train.import FOLDER --out DIR`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from engine.command import command_parser, exit_code

EXAMPLE = """examples:
  python -m train.import models/ViT-B-32-open_clip --out runs/b32
  python -m train.import veclip_b16_12m --tokenizer t5-base --out runs/apple_12m
  python -m train.evaluate runs/b32 --tasks held_out=shards/test
  composer train/run.py RECIPE load_path=runs/b32/latest-rank0.pt load_weights_only=true

FOLDER has open_clip_config.json and open_clip_model.safetensors, or is a CLIPModel's (config.json and
model.safetensors), such as Apple's released VeCLIP models. Nothing is downloaded but
a tokenizer that is given by name."""


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = command_parser(
        "python -m train.import",
        "Read a model of open_clip or transformers, and keep it as a run of train/run.py.",
        EXAMPLE,
    )
    parser.add_argument("folder", type=Path, help="the model's folder")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="a new folder")
    parser.add_argument(
        "--tokenizer",
        metavar="WHERE",
        help="clip, a folder or a name, where the folder has no tokenizer's files (VeCLIP: t5-base)",
    )
    options = parser.parse_args(arguments)
    return exit_code(lambda: _import(options), stopped="interrupted; remove --out before you run it again")


def _import(options: argparse.Namespace) -> None:
    # Imported late: torch and Composer take seconds, --help must not.
    from train.formats import hugging_face, open_clip_folder
    from train.formats.model import save_as_run

    known = options.folder / open_clip_folder.CONFIG
    reader = open_clip_folder if known.exists() else hugging_face
    exported = reader.read(options.folder, options.tokenizer)
    path = save_as_run(exported, options.out)
    card, count = exported.card, sum(p.numel() for p in exported.clip.parameters())
    tokenizer = card.tokenizer
    print(
        f"written: {path}: {count / 1e6:,.1f} million parameters, {card.architecture.image_size} pixels, "
        f"{tokenizer.context_length} tokens of {tokenizer.name}"
    )


if __name__ == "__main__":
    sys.exit(main())
