"""What lies at a path, and which of several splits is the held-out one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from engine.errors import UserError
from engine.sources.detect import KNOWN_SUFFIXES
from engine.sources.storage import Entry, base_name, exists, is_dir, is_url, list_dir

# Held-out splits, the best first; where a set has a test split, published figures are of it.
HELD_OUT = ("test", "val", "validation", "valid", "dev")
OTHERS = ("train", "training", "trainval", "restval", "extra", "unsupervised")
_NUMBER = re.compile(r"(\d+)")
# One file of several that are a whole: `test-00000-of-00004.parquet`.
_PART = re.compile(r"(?P<name>.*)-\d{5}-of-(?P<count>\d{5})\.\w+")
SPLIT_COLUMN = "split"
UNIT_IMAGES = 256  # images a work unit: few enough that ranks share small sets evenly


@dataclass(frozen=True)
class Place:
    """A path and, of a folder, what is in it; hidden entries and what macOS adds to archives are left out."""

    path: str
    entries: tuple[Entry, ...] | None

    @property
    def folders(self) -> list[Entry]:
        """Folders in it."""
        return [entry for entry in self.entries or () if entry.is_dir]

    @property
    def files(self) -> list[Entry]:
        """Files in it."""
        return [entry for entry in self.entries or () if not entry.is_dir]

    def file(self, name: str) -> str | None:
        """The path of a file in it, by name."""
        return next((entry.path for entry in self.files if entry.name == name), None)


def look(path: str) -> Place:
    """List a folder.

    Raises:
        UserError: there is nothing.
    """
    if is_url(path) and path.endswith(KNOWN_SUFFIXES):
        return Place(path, None)  # an http server cannot say whether it has a folder
    if not exists(path):
        raise UserError(f"{path}: not found; expected a file or folder with images")
    if not is_dir(path):
        return Place(path, None)
    return Place(path, tuple(entry for entry in list_dir(path) if entry.name != "__MACOSX"))


def held_out(where: str, splits: Iterable[str]) -> str:
    """The held-out one of a set's splits, as the set spells it.

    Raises:
        UserError: there is none.
    """
    spelled = {split.lower(): split for split in splits}
    found = next((spelled[name] for name in HELD_OUT if name in spelled), None)
    if found is None:
        given = ", ".join(sorted(spelled.values()))
        raise UserError(
            f"{where}: no held-out split among {given}; expected one of {', '.join(HELD_OUT)}, "
            "or the path of the split that you mean"
        )
    return found


def is_split(name: str) -> bool:
    """Whether a folder or file name is a split's."""
    return name.lower() in (*HELD_OUT, *OTHERS)


def split_of(name: str) -> str:
    """The split that a file name begins with: `test` of `test-00000-of-00001.parquet`; empty without."""
    first = re.split(r"[-_.]", base_name(name), maxsplit=1)[0]
    return first if is_split(first) else ""


def split_files(where: str, paths: Sequence[str]) -> list[str]:
    """Those files whose names begin with the held-out split; all where no name begins with one.

    Raises:
        UserError: files of other splits only, or files without one beside those of a split.
    """
    splits = {path: split_of(path) for path in paths}
    if not any(splits.values()):
        return list(paths)
    wanted = held_out(where, filter(None, splits.values()))
    return [path for path in paths if splits[path] == wanted]


def in_order(paths: Iterable[str]) -> list[str]:
    """Sorted, numbers by number: 2.tar before 10.tar."""

    def key(path: str) -> list[tuple[int, str]]:
        parts = _NUMBER.split(base_name(path))
        return [(int(part), "") if part.isdecimal() else (0, part) for part in parts]

    return sorted(paths, key=lambda path: (key(path), path))


def check_parts(paths: Sequence[str]) -> None:
    """Refuse a set of which files are missing, as far as names tell.

    Raises:
        UserError: naming how many there are.
    """
    found: dict[tuple[str, int], int] = {}
    for path in paths:
        match = _PART.fullmatch(path)
        if match:
            whole = match["name"], int(match["count"])
            found[whole] = found.get(whole, 0) + 1
    for (name, count), there in found.items():
        if there != count:
            raise UserError(f"{name}: {there} of {count} files are here; fetch the others")
