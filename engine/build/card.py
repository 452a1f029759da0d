"""`README.md` of a dataset: what is in it, where it came from, how it was made."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from engine.records import REJECT_CODES
from engine.shards.entries import ShardEntry
from engine.ui import count_of, size

CARD_HASH = "xxh3_128"
_HASH_ROW = re.compile(r"^\| `([\w.]+)` \| ([\d,]+) \| `([0-9a-f]{32})` \|$", re.MULTILINE)

FileHash = tuple[str, int, str]  # name, bytes, hex digest


def dataset_card(
    metadata: Mapping[str, Any], entries: Sequence[ShardEntry], files: Sequence[FileHash]
) -> str:
    """The card as Markdown; `files` are those beside it, of which no index holds a hash."""
    return "\n".join(
        [
            "# Image-text dataset in MDS shards",
            "",
            f"{metadata['samples']:,} samples in {count_of(len(entries), 'shard')}, "
            f"{size(sum(entry.stored.bytes for entry in entries))}. Made by `python -m engine.shard`; "
            "readable by MosaicML Streaming's `StreamingDataset`; check it with `python -m engine.verify`.",
            "",
            *_section("Samples", _counts(metadata["counts"])),
            *_section("Captions", _captions(metadata)),
            *_section("Images", _images(metadata["image"])),
            *_section("Tokenizer", _fields(metadata["tokenizer"])),
            *_section("Options", _fields(_flat(metadata["options"]))),
            *_section("Input", _inputs(metadata["inputs"])),
            *_section("Hashes", _hashes(entries, files)),
            *_section("Versions", _fields(metadata["versions"])),
        ]
    )


def file_hashes(card: str) -> list[FileHash]:
    """The hashes that a card holds."""
    return [(name, int(n.replace(",", "")), digest) for name, n, digest in _HASH_ROW.findall(card)]


def _section(title: str, lines: Sequence[str]) -> list[str]:
    return [f"## {title}", "", *lines, ""]


def _table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines]


def _cell(value: object) -> str:
    text = f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
    return text.replace("|", "\\|").replace("\n", " ")


def _counts(counts: Mapping[str, Any]) -> list[str]:
    rows = [[name, counts[name], ""] for name in ("in", "out", "duplicates", "rejected")]
    rows += [[f"rejected: `{code}`", n, meaning(code)] for code, n in counts["rejected_by_code"].items()]
    rows += [
        [f"captions dropped: `{code}`", n, meaning(code)]
        for code, n in counts["dropped_captions_by_code"].items()
    ]
    return [*_table(["", "count", "meaning"], rows), "", "Every reject is a row of `rejects.parquet`."]


def meaning(code: str) -> str:
    """What a reject code means, in words."""
    if code in REJECT_CODES:
        return REJECT_CODES[code].meaning
    from engine.native import Status, status_sentence

    return status_sentence(Status[code.upper()])


def _captions(metadata: Mapping[str, Any]) -> list[str]:
    captions = metadata["captions"].items()
    rows = [[f"`{source}`", number["samples"], number["captions"]] for source, number in captions]
    ids = f"{metadata['tokens']:,} token ids. CLIP scores: {_scores(metadata)}."
    return [*_table(["source", "samples with it", "captions"], rows), "", ids]


def _scores(metadata: Mapping[str, Any]) -> str:
    scores = metadata["scores"]
    if scores is None:
        return "none"
    by = ", ".join(sorted({f"{run['scorer']['model']} ({run['scorer']['id']})" for run in scores["runs"]}))
    scored = ", ".join(f"{n:,} of `{source}`" for source, n in scores["scored"].items())
    return f"by {by or 'the input'}: {scored}"


def _images(image: Mapping[str, Any]) -> list[str]:
    rows = list(image["formats"].items())
    return [*_table(["format", "images"], rows), "", f"{size(image['bytes'])} of image files."]


def _inputs(inputs: Sequence[Mapping[str, Any]]) -> list[str]:
    shown = inputs[:20]
    rows = [[f"`{unit['unit']}`", unit.get("bytes", ""), unit.get("sampled_hash", "")] for unit in shown]
    more = len(inputs) - len(shown)
    rest = ["", f"... and {more:,} more, see `dataset.json`."] if more else []
    return [f"Work units: {len(inputs):,}.", "", *_table(["unit", "bytes", "hash of samples"], rows), *rest]


def _hashes(entries: Sequence[ShardEntry], files: Sequence[FileHash]) -> list[str]:
    names = ", ".join(entries[0].layout.hashes) if entries else ""
    return [
        f"`index.json` holds {names} of every shard file; every sample has `sample_hash`.",
        "",
        *_table(["file", "bytes", CARD_HASH], [[f"`{name}`", n, f"`{digest}`"] for name, n, digest in files]),
    ]


def _fields(fields: Mapping[str, Any]) -> list[str]:
    return _table(["", ""], [[f"`{name}`", "" if value is None else value] for name, value in fields.items()])


def _flat(options: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in options.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = ", ".join(map(str, value)) if isinstance(value, list) else value
    return flat
