"""The source arguments that all command lines share."""

from __future__ import annotations

import argparse

from engine.errors import UserError
from engine.sources.options import MAX_IMAGE_BYTES, SourceOptions

# As in `engine.sources.detect.FORMATS`, written out so that `--help` need not load pyarrow.
FORMAT_NAMES = ("auto", "webdataset", "img2dataset", "parquet", "huggingface", "table")


def add_source_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the positional inputs and an argument group `input`."""
    parser.add_argument(
        "inputs", nargs="+", metavar="INPUT",
        help="files, folders, globs, braces ('data/{00000..00099}.tar'); local or URLs (s3, gs, hf, http)",
    )  # fmt: skip
    group = parser.add_argument_group("input")
    group.add_argument("--format", default="auto", choices=FORMAT_NAMES, help="default: found by looking")
    group.add_argument(
        "--caption", action="append", default=[], metavar="NAME=FIELD",
        help="a caption source and where its texts stand; repeatable. FIELD: an extension or column (txt), "
        "a JSON entry (json:re_caption), several (caption[0], caption[1:]) or a choice (a|b)",
    )  # fmt: skip
    group.add_argument(
        "--score", action="append", default=[], metavar="NAME=FIELD",
        help="CLIP scores of a caption source, one per caption; repeatable",
    )  # fmt: skip
    group.add_argument("--image-column", metavar="NAME", help="column with the image bytes or the image path")
    group.add_argument("--image-root", metavar="DIR", help="folder that a table's image paths start from")
    group.add_argument(
        "--key-column", metavar="FIELD",
        help="the sample key, e.g. json:url; default: the source's own key or the image path",
    )  # fmt: skip
    group.add_argument(
        "--only-keys", metavar="FILE", help="take only the keys or image names in this file, one a line"
    )
    group.add_argument(
        "--rows-per-unit", type=int, default=2000, metavar="N",
        help="images per work unit where the input has no shards of its own (default 2000)",
    )  # fmt: skip
    group.add_argument(
        "--max-image-bytes", type=int, default=MAX_IMAGE_BYTES, metavar="N",
        help="reject larger image files (default 32 MiB)",
    )  # fmt: skip


def source_options(args: argparse.Namespace) -> SourceOptions:
    """The options that the parsed arguments stand for.

    Raises:
        UserError: `--caption` or `--score` is not NAME=FIELD, or names a source twice.
    """
    return SourceOptions(
        inputs=tuple(args.inputs),
        format=args.format,
        captions=parse_pairs(args.caption, "--caption"),
        scores=parse_pairs(args.score, "--score"),
        image_column=args.image_column,
        image_root=args.image_root,
        key_column=args.key_column,
        only_keys=args.only_keys,
        rows_per_unit=args.rows_per_unit,
        max_image_bytes=args.max_image_bytes,
    )


def parse_pairs(texts: list[str], option: str) -> dict[str, str]:
    """`NAME=FIELD` arguments as a mapping, in order."""
    pairs: dict[str, str] = {}
    for text in texts:
        name, equals, field = text.partition("=")
        if not (name and equals and field):
            raise UserError(f"{option} {text}: expected NAME=FIELD, e.g. {option} alttext=txt")
        if name in pairs:
            raise UserError(f"{option} {name}: given twice; alternatives of one source are written with |")
        pairs[name] = field
    return pairs
