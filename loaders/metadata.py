"""What a data set says about itself: dataset.json, fetched from the same store as index.json."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.errors import UserError
from engine.native import Limits
from loaders.fetch import Fetcher, Wanted

FILE_NAME = "dataset.json"
FORMAT = "veclip-engine/1"
# An index of 300 million samples has about 100 MB.
MOST_BYTES = 4 << 30


@dataclass(frozen=True)
class DatasetInfo:
    """The part of dataset.json that readers need (docs/architecture.md has the whole)."""

    sources: tuple[str, ...]
    has_scores: bool
    samples: int
    context_length: int
    pad_id: int
    tokenizer_name: str
    tokenizer_fingerprint: str
    max_pixels: int
    max_side: int
    max_image_bytes: int

    def limits(self) -> Limits:
        """Return what `engine.shard` allowed: whatever it packed can be decoded."""
        return Limits(self.max_pixels, self.max_side, self.max_image_bytes)


def load_info(fetcher: Fetcher) -> DatasetInfo:
    """Read dataset.json, fetching it first when only the remote has it.

    Raises:
        UserError: when there is none, or it is not one of ours.
    """
    path = have_file(fetcher, FILE_NAME)
    try:
        return _parse(json.loads(path.read_text("utf-8")))
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise UserError(
            f"{path}: not a {FORMAT} description ({type(error).__name__}: {error}); "
            "shard the data again with python -m engine.shard"
        ) from error


def _parse(obj: Mapping[str, Any]) -> DatasetInfo:
    if obj["format"] != FORMAT:
        raise ValueError(f"format {obj['format']!r}")
    tokenizer, image = obj["tokenizer"], obj["options"]["image"]
    return DatasetInfo(
        sources=tuple(map(str, obj["sources"])),
        has_scores=bool(obj["has_scores"]),
        samples=int(obj["samples"]),
        context_length=int(tokenizer["context_length"]),
        pad_id=int(tokenizer["pad_id"]),
        tokenizer_name=str(tokenizer["name"]),
        tokenizer_fingerprint=str(tokenizer["fingerprint"]),
        max_pixels=int(image["max_pixels"]),
        max_side=int(image["max_side"]),
        max_image_bytes=int(obj["options"]["source"]["max_image_bytes"]),
    )


def have_file(fetcher: Fetcher, name: str) -> Path:
    """Return where a file beside the shards lies, fetching it first when only the remote has it.

    Raises:
        UserError: when there is none, or it cannot be had before the deadline.
    """
    path = fetcher.local / name
    if path.exists():
        return path
    if fetcher.remote is None:
        raise UserError(
            f"{fetcher.local}: no {name}; expected a finished data set of python -m engine.shard "
            "(a build that was stopped has none: run the same command again)"
        )
    until = fetcher.until()
    with fetcher.claim(name, until) as mine:
        if not path.exists():
            if not mine:
                raise UserError(
                    f"{path}: another process was still fetching it after {fetcher.deadline_s:g} s "
                    "(data.deadline)"
                )
            fetcher.fetch(Wanted(name, path, MOST_BYTES, _json), until)
    return path


def _json(path: Path) -> Path:
    """Accept what is whole: an answer cut short is no JSON."""
    try:
        json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise UserError(f"not JSON ({error})") from error
    return path
