"""`index.json` of an MDS v2 dataset: written last, read with suspicion."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from engine.collector import collector_paused
from engine.errors import UserError
from engine.native import commit_file
from engine.shards.entries import ShardEntry, check_basename, entry_from_json

INDEX_NAME = "index.json"


def write_index(directory: str | Path, entries: Sequence[ShardEntry]) -> None:
    """Makes the dataset exist: the index appears at once, after everything that it names."""
    obj = {"version": 2, "shards": [entry.to_json() for entry in entries]}
    commit_file(Path(directory) / INDEX_NAME, json.dumps(obj, sort_keys=True).encode())


def read_index(directory: str | Path) -> list[ShardEntry]:
    """Reads and checks an index.

    Raises:
        UserError: It is missing, is no MDS v2 index, or names files outside its folder.
    """
    path = Path(directory) / INDEX_NAME
    try:
        with collector_paused():
            obj = json.loads(path.read_bytes(), object_hook=_entry)
    except FileNotFoundError:
        raise UserError(f"{path}: missing; the dataset is not finished, or this is no dataset") from None
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not JSON ({error})") from error
    if not isinstance(obj, dict) or obj.get("version") != 2 or not isinstance(obj.get("shards"), list):
        raise UserError(f"{path}: expected an MDS index of version 2 with a list of shards")
    for shard in obj["shards"]:
        if not isinstance(shard, ShardEntry):
            raise UserError(f"{path}: shard entry: expected an object with raw_data, got {shard!r:.80}")
    return list(obj["shards"])


def _entry(obj: dict[str, Any]) -> Any:
    """Converts a shard's object as soon as it is parsed: all of them as dicts would take four times the
    memory.
    """
    return entry_from_json(obj) if "raw_data" in obj else obj


def merge_entries(parts: Iterable[tuple[str, Sequence[ShardEntry]]]) -> list[ShardEntry]:
    """Entries of datasets in sub-folders, in the given order, as an index one folder up has them."""
    return [entry.below(check_basename(folder)) for folder, entries in parts for entry in entries]
