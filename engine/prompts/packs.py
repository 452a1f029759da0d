"""Packs of example pairs for LaCLIP's in-context rewriting: YAML files, ours or the user's."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml

from engine.draws import EXAMPLES, below, draw_words
from engine.errors import UserError
from engine.native import hash_bytes
from engine.nearest import nearest

_FOLDER = Path(__file__).parent / "packs"
PACKS = tuple(sorted(file.stem for file in _FOLDER.glob("*.yaml")))
"""The packs that come with the engine."""
_LONGEST_FILE = 1 << 20  # a pack is a page of text; a larger file is something else
_EXPECTED = "expected `pairs:`, a list of {caption: ..., rewrite: ...}"


@dataclass(frozen=True)
class Pack:
    """Example pairs (caption, rewrite); `hash` is xxh3_128 of the pairs in hex."""

    name: str
    pairs: tuple[tuple[str, str], ...]
    hash: str


def load_pack(name_or_path: str | Path) -> Pack:
    """One of `PACKS` by name, or a YAML file of the same form; its name is the file's.

    Raises:
        UserError: there is no such pack, or it does not have the form.
    """
    path = Path(name_or_path)
    if path.suffix not in (".yaml", ".yml"):
        path = _FOLDER / f"{name_or_path}.yaml"
        if str(name_or_path) not in PACKS:
            hint = nearest(str(name_or_path), PACKS)
            raise UserError(f"pack {name_or_path}: expected {', '.join(PACKS)} or a .yaml file{hint}")
    pairs = _pairs(path)
    return Pack(path.stem, pairs, hash_bytes(json.dumps(pairs).encode(), "xxh3_128"))


def choose_pairs(pack: Pack, key_hash: int, seed: int, count: int) -> tuple[tuple[str, str], ...]:
    """`count` different pairs, a pure function of (seed, sample, pack); every order is equally likely.

    Args:
        pack: What to choose from.
        key_hash: xxh3_64 of the sample key.
        seed: The run's seed, 0 <= seed < 2**64.
        count: 0 <= count <= pairs in the pack.

    Raises:
        UserError: more pairs than the pack has.
    """
    if count > len(pack.pairs):
        raise UserError(f"pack {pack.name}: {count} pairs asked for, it has {len(pack.pairs)}")
    left = list(pack.pairs)
    # The pack's hash takes the epoch's place, so that two packs do not choose alike.
    hashes = np.full(count, key_hash, dtype=np.uint64)
    words = draw_words(hashes, seed, int(pack.hash[:8], 16), EXAMPLES, np.arange(count))[:, 0]
    chosen = below(words, np.arange(len(left), len(left) - count, -1))
    return tuple(left.pop(int(at)) for at in chosen)


def _pairs(path: Path) -> tuple[tuple[str, str], ...]:
    try:
        if path.stat().st_size > _LONGEST_FILE:
            raise UserError(f"{path}: over 1 MiB is no pack of examples; {_EXPECTED}")
        loaded = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise UserError(f"{path}: cannot be read ({str(error).splitlines()[0]}); {_EXPECTED}") from error
    rows = loaded.get("pairs") if isinstance(loaded, dict) else None
    if not isinstance(rows, list) or not rows:
        raise UserError(f"{path}: has no pairs; {_EXPECTED}")
    return tuple(_pair(path, number, row) for number, row in enumerate(rows, 1))


def _pair(path: Path, number: int, row: object) -> tuple[str, str]:
    texts: Sequence[object] = ()
    if isinstance(row, dict) and set(row) == {"caption", "rewrite"}:
        texts = (row["caption"], row["rewrite"])
    lines = [text.strip() for text in texts if isinstance(text, str)]
    if len(lines) != 2 or not all(lines) or any("\n" in line for line in lines):
        raise UserError(f"{path}: pair {number} is {str(row)[:80]!r}; {_EXPECTED}, each one line of text")
    return lines[0], lines[1]
