"""A trained model in another system's format: `python -m train.export RUN --to open_clip --out DIR`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from engine.command import command_parser, exit_code

KINDS = ("open_clip", "huggingface", "onnx")
EXAMPLE = """examples:
  python -m train.export runs/veclip_b16 --to open_clip --out out/veclip_b16
  python -m train.export runs/veclip_b16 --to huggingface --out out/veclip_b16_hf --tokenizer t5-base
  python -m train.export runs/veclip_b16/ep3-ba9000-rank0.pt --to onnx --out out/veclip_b16_onnx

open_clip: open_clip_config.json and safetensors, for create_model_and_transforms("local-dir:DIR").
huggingface: a folder for CLIPModel, CLIPImageProcessor and AutoTokenizer.
onnx: image.onnx and text.onnx, for batches of any size; features have length 1.
Each has a README.md with the recipe and the results. Features are those of training, within rounding."""


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = command_parser(
        "python -m train.export",
        "Write a trained model in another system's format.",
        EXAMPLE,
    )
    parser.add_argument("model", help="a run's folder (its latest checkpoint) or a checkpoint file in it")
    parser.add_argument("--to", required=True, choices=KINDS, help="format")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="a new folder")
    parser.add_argument(
        "--tokenizer", metavar="WHERE", help="folder or name of the tokenizer, where it is not CLIP's own"
    )
    options = parser.parse_args(arguments)
    return exit_code(lambda: _export(options), stopped="interrupted; remove --out before you run it again")


def _export(options: argparse.Namespace) -> None:
    # Imported late: torch and Composer take seconds, --help must not.
    from train.formats import hugging_face, onnx_towers, open_clip_folder
    from train.formats.card import write_readme
    from train.formats.model import Exported
    from train.keeping.checkpoints import load_model

    writers = {"open_clip": open_clip_folder, "huggingface": hugging_face, "onnx": onnx_towers}
    model, card, path = load_model(options.model)
    exported = Exported(model.clip.eval(), card)
    writers[options.to].write(exported, options.out, options.tokenizer)
    write_readme(options.out, exported, options.to, path)
    print(f"checkpoint: {path}")
    print(f"written: {options.out} ({', '.join(sorted(p.name for p in options.out.iterdir()))})")


if __name__ == "__main__":
    sys.exit(main())
