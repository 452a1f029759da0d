"""What `engine.inspect` shows."""

from __future__ import annotations

import random
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.build.finish import read_dataset_json
from engine.captions.histogram import spread
from engine.errors import UserError
from engine.native import NativeError, decode_rgb, probe
from engine.records import printable
from engine.shards.reader import MdsDataset
from engine.terminal import draw, has_colour
from engine.ui import count_of, size, table

# Of every caption and key no more is shown: a screen full of one caption shows nothing of the rest.
MOST_CHARACTERS = 400
_PICTURE_ROWS = 20  # three samples fit on a common screen


@dataclass(frozen=True)
class Screen:
    """Where images are drawn."""

    columns: int
    rows: int
    colour: bool

    @classmethod
    def of_terminal(cls) -> Screen:
        """The terminal of this process."""
        found = shutil.get_terminal_size()
        return cls(min(found.columns, 80), min(found.lines - 4, _PICTURE_ROWS), has_colour())


def choose(total: int, first: int, count: int, seed: int | None) -> list[int]:
    """Indices of the samples to show: consecutive ones, or `count` different ones drawn with `seed`.

    Raises:
        UserError: there is no such sample.
    """
    if not -total <= first < total:
        raise UserError(f"--index {first}: the dataset has samples 0 to {total - 1}")
    if seed is not None:
        return random.Random(seed).sample(range(total), min(count, total))
    return list(range(first % total, min(first % total + count, total)))


def find_keys(dataset: MdsDataset, keys: Sequence[str]) -> list[int]:
    """Indices of the samples with these keys, in their order; reads the key column shard by shard.

    Raises:
        UserError: a key is not there, or the dataset has no keys.
    """
    wanted = {key.encode(): at for at, key in enumerate(keys)}
    found: dict[int, int] = {}
    first = 0
    for shard, entry in enumerate(dataset.entries):
        if "key" not in entry.layout.column_names:
            raise UserError(f"{dataset.directory}: has no column key; use --index")
        column = dataset.batch(shard).column("key") if entry.samples else ()
        for at in range(len(column)):
            if column[at] in wanted:
                found[wanted[column[at]]] = first + at
        first += entry.samples
        if len(found) == len(wanted):
            return [found[at] for at in sorted(found)]
    missing = next(key for key, at in zip(keys, wanted.values(), strict=True) if at not in found)
    raise UserError(f"--key {missing}: no sample has this key; keys look like {_first_key(dataset)!r}")


def show_summary(dataset: MdsDataset) -> str:
    """What the dataset is, in a few lines."""
    stored = size(sum(entry.stored.bytes for entry in dataset.entries))
    shards = count_of(len(dataset.entries), "shard")
    line = f"{dataset.directory}: {len(dataset):,} samples in {shards}, {stored}"
    try:
        metadata = read_dataset_json(dataset.directory)
    except UserError:
        columns = dataset.entries[0].layout.column_names if dataset.entries else ()
        return f"{line}; not made by engine.shard; columns {', '.join(columns)}"
    tokenizer = metadata["tokenizer"]
    scores = (metadata.get("scores") or {}).get("bins", {})
    rows = [
        (source, f"{numbers['captions']:,}", f"captions of {numbers['samples']:,} samples")
        for source, numbers in metadata["captions"].items()
    ]
    rows += [
        (f"{source}, scores", f"{sum(bins.values()):,}", spread(bins))
        for source, bins in scores.items()
        if bins
    ]
    most, stored_ids = tokenizer["context_length"], metadata["tokens"]
    ids = f"tokenizer {tokenizer['name']}, at most {most} ids a caption, {stored_ids:,} stored"
    return f"{line}\n{table(rows)}\n  {ids}"


def show_sample(dataset: MdsDataset, index: int, screen: Screen | None) -> str:
    """One sample as text, with its image if there is a screen."""
    sample = dataset.sample(index)
    shard, at = dataset.locate(index)
    where = f"{dataset.entries[shard].stored.basename}, sample {at}"
    head = f"sample {index}  {_text(sample['key'])}" if "key" in sample else f"sample {index}"
    lines = [f"{head}  ({where})"]
    if isinstance(sample.get("image"), bytes):
        lines += _image(sample["image"], screen)
    lines += _captions(sample) if "captions" in sample else _columns(sample)
    return "\n".join(lines)


def _image(data: bytes, screen: Screen | None) -> list[str]:
    try:
        info = probe(data)
        drawn = [draw(decode_rgb(data), screen.columns, screen.rows, screen.colour)] if screen else []
    except NativeError as error:
        return [f"  image: {error}"]
    kind = f"progressive {info.format}" if info.progressive else info.format
    return [f"  {kind}, {info.width} x {info.height}, {size(len(data))}", *drawn]


def _captions(sample: Mapping[str, Any]) -> list[str]:
    lengths = iter(sample["token_lengths"].tolist() if "token_lengths" in sample else [])
    scores = iter(sample["scores"].tolist() if "scores" in sample else [])
    lines = []
    for source, texts in sample["captions"].items():
        lines.append(f"  {source}" if texts else f"  {source}: none")
        for text in texts:
            score = next(scores, float("nan"))
            shown = "" if np.isnan(score) else f", score {score:.3f}"
            lines.append(f"    [{next(lengths, '?')} tokens{shown}] {_text(text)}")
    return lines


def _columns(sample: Mapping[str, Any]) -> list[str]:
    return [
        f"  {name}: {_text(str(value))}" for name, value in sample.items() if name not in ("key", "image")
    ]


def _first_key(dataset: MdsDataset) -> str:
    return str(dataset.sample(0)["key"]) if len(dataset) else ""


def _text(text: str) -> str:
    """Text that cannot steer the terminal: captions come from the web."""
    shown = printable(text, MOST_CHARACTERS)
    safe = "".join(c if c.isprintable() else " " if c.isspace() else f"\\x{ord(c):02x}" for c in shown)
    return safe + (" ..." if len(text) > MOST_CHARACTERS else "")
