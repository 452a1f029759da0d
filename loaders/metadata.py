"""What a data set says about itself: dataset.json, fetched from the same store as index.json."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from streaming.base.distributed import get_local_rank
from streaming.base.storage import CloudDownloader
from streaming.base.util import wait_for_file_to_exist

from engine.errors import UserError
from engine.native import Limits

FILE_NAME = "dataset.json"
FORMAT = "veclip-engine/1"
# Streaming's own patience with one file.
TIMEOUT_S = 60.0
POLL_S = 0.05


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


def load_info(local: str, remote: str | None) -> DatasetInfo:
    """Read dataset.json, fetching it first when only the remote has it.

    Args:
        local: folder of the data set, or where it is to be cached.
        remote: where Streaming downloads from, or None.

    Raises:
        UserError: when there is none, or it is not one of ours.
    """
    path = have_file(local, remote, FILE_NAME)
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


def have_file(local: str, remote: str | None, name: str) -> Path:
    """Return where a file beside the shards lies, fetching it first when only the remote has it.

    Raises:
        UserError: when there is none.
    """
    path = Path(local) / name
    if not path.exists():
        if not remote:
            raise UserError(
                f"{local}: no {name}; expected a finished data set of python -m engine.shard "
                "(a build that was stopped has none: run the same command again)"
            )
        _fetch(path, remote)
    return path


def _fetch(path: Path, remote: str) -> None:
    """Download as the local leader, wait for it on the node's other ranks."""
    source = os.path.join(remote, path.name)
    failure = f"{source}: could not be fetched to {path}; is {remote} a data set of python -m engine.shard? "
    if get_local_rank() != 0:
        try:
            wait_for_file_to_exist(str(path), POLL_S, TIMEOUT_S, failure)
        except RuntimeError as error:
            raise UserError(str(error)) from error
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".tmp")
    try:
        CloudDownloader.get(remote).download(source, str(partial), TIMEOUT_S)
        os.replace(partial, path)
    except Exception as error:  # every store raises its own kind
        raise UserError(f"{failure}({type(error).__name__}: {error})") from error
