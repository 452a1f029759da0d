"""Compare DALI's pixels with the exact ones: `python -m benchmarks.decoders PATHS...`.

Each image is cropped twice by our own generator, with the recipe's scale (0.9 to 1) and with ImageNet's (0.08
to 1), and goes through the loader's own DALI decoder: on a GPU where there is one, else in DALI's CPU mode.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from engine.errors import UserError

SCALES = ((0.9, 1.0), (0.08, 1.0))


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.decoders",
        description=(__doc__ or "").partition(":")[0] + ".",
        epilog="example: python -m benchmarks.decoders photos 00000.tar --limit 500 --json decoders.json",
    )
    parser.add_argument("paths", type=Path, nargs="+", help="images, folders, tar, parquet or Arrow files")
    parser.add_argument("--limit", type=int, help="images of each path, spread over it (default: all)")
    parser.add_argument("--size", type=int, default=224, help="side of the output, pixels (default 224)")
    parser.add_argument("--threads", type=int, default=2, help="decode threads of either (default 2)")
    parser.add_argument("--json", type=Path, help="where the figures are written")
    options = parser.parse_args(argv)
    try:
        _run(options)
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _run(options: argparse.Namespace) -> None:
    from benchmarks.decoders.compare import Comparison
    from benchmarks.decoders.report import as_json, table
    from benchmarks.images import read_images

    images = read_images(options.paths, options.limit)
    found = {}
    for scale in SCALES:
        comparison = Comparison(options.size, scale, options.threads)
        results = list(comparison.results(images))
        if not results:
            raise UserError(f"{len(images)} files given, none of which can be decoded; give images")
        print(f"scale {scale[0]} to {scale[1]}, {options.size} px; DALI on {comparison.device}\n")
        print(table(results) + "\n")
        print(f"Refused by our own core: {len(images) - len(results)} of {len(images)} files.")
        print(f"Of these decoded by DALI: {', '.join(comparison.by_dali_alone) or 'none'}.\n")
        found[str(scale)] = {"device": comparison.device, "files": len(images), **as_json(results)}
        found[str(scale)]["by_dali_alone"] = comparison.by_dali_alone
    if options.json:
        options.json.write_text(json.dumps({"size": options.size, "scales": found}, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
