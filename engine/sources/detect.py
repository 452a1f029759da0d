"""Which format an input has, by looking at names: one small function per format."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from engine.errors import UserError
from engine.sources.columnar import image_columns, read_schema
from engine.sources.storage import Entry, base_name, is_dir, join, list_dir
from engine.sources.webdataset import IMAGE_FIELDS, TAR_NAMES, split_name

TABLE_NAMES = (".csv", ".tsv", ".jsonl", ".ndjson", ".token.txt", ".token", "captions.txt")
DOCUMENT_PREFIXES = ("captions_", "dataset_")  # COCO, Karpathy
Found = list[str] | None


def detect(path: str, wanted: str) -> tuple[str, list[str]]:
    """The reader for one input (`tar`, `files`, `parquet`, `arrow`, `table`) and the paths it stands for.

    Args:
        path: a file or folder.
        wanted: a key of `FORMATS`.

    Raises:
        UserError: no format fits; says what was found.
    """
    entries = list_dir(path) if not path.endswith(KNOWN_SUFFIXES) and is_dir(path) else None
    for reader in FORMATS[wanted]:
        found = FINDERS[reader](path, entries)
        if found:
            return reader, found
    what = "a file of another kind" if entries is None else describe(entries)
    kind = "no known format" if wanted == "auto" else f"not recognised as {wanted}"
    raise UserError(
        f"{path}: {kind}; found {what}; expected webdataset tars, img2dataset output, parquet, a Hugging "
        f"Face data set on disk, or a folder of images with a csv, tsv, jsonl or COCO table"
    )


def find_tars(path: str, entries: list[Entry] | None) -> Found:
    """Tars: the file itself, or those in a folder."""
    return files_named(path, entries, lambda name: name.endswith(TAR_NAMES))


def find_files(path: str, entries: list[Entry] | None) -> Found:
    """img2dataset's folders: the folder itself, or those in it."""
    if entries is None:
        return None
    if has_samples(entries):
        return [path]
    folders = [entry.path for entry in entries if entry.is_dir and not entry.name.startswith("_")]
    return folders if folders and has_samples(list_dir(folders[0])) else None


def find_parquet(path: str, entries: list[Entry] | None) -> Found:
    """Parquet with image bytes: the file, or those in a folder or its `data/` (Hugging Face Hub)."""
    found = files_named(path, entries, lambda name: name.endswith(".parquet"))
    if not found and any(entry.name == "data" and entry.is_dir for entry in entries or ()):
        found = files_named(path, list_dir(join(path, "data")), lambda name: name.endswith(".parquet"))
    return found if found and image_columns(read_schema(found[0])) else None


def find_arrow(path: str, entries: list[Entry] | None) -> Found:
    """Arrow files of `save_to_disk`.

    Raises:
        UserError: the folder holds several splits.
    """
    if entries and any(entry.name == "dataset_dict.json" for entry in entries):
        splits = [entry.path for entry in entries if entry.is_dir]
        if len(splits) != 1:
            raise UserError(f"{path}: a data set with several splits; give one of {', '.join(splits)}")
        return find_arrow(splits[0], list_dir(splits[0]))
    return files_named(path, entries, lambda name: name.endswith(".arrow"))


def find_tables(path: str, entries: list[Entry] | None) -> Found:
    """The table of a folder, or the file itself.

    Raises:
        UserError: a folder with several tables, none of which is a Flickr token file.
    """
    found = files_named(path, entries, is_table)
    if entries is None or not found or len(found) == 1:
        return found
    # Flickr8k has the same captions twice; the token file numbers them
    tokens = [table for table in found if ".token" in base_name(table)]
    if len(tokens) != 1:
        raise UserError(f"{path}: several tables; give one of {', '.join(found)}, or all that go together")
    return tokens


def is_table(name: str) -> bool:
    """Whether a file name is a table's."""
    document = name.endswith(".json") and name.startswith(DOCUMENT_PREFIXES) and name != "dataset_info.json"
    return document or name.endswith((*TABLE_NAMES, ".parquet"))


def files_named(path: str, entries: list[Entry] | None, fits: Callable[[str], bool]) -> Found:
    """The file itself or the files of a folder whose names fit."""
    if entries is None:
        return [path] if fits(base_name(path)) else None
    return [entry.path for entry in entries if not entry.is_dir and fits(entry.name)] or None


def has_samples(entries: Iterable[Entry]) -> bool:
    """Whether a folder has an image with a text or JSON file of the same name."""
    fields: dict[str, set[str]] = {}
    for entry in entries:
        split = split_name(entry.name)
        if split and not entry.is_dir:
            fields.setdefault(split[0], set()).add(split[1].lower())
    return any(found & set(IMAGE_FIELDS) and found & {"txt", "json"} for found in fields.values())


def describe(entries: list[Entry]) -> str:
    """What a folder holds, in a few words."""
    names = ", ".join(entry.name + "/" * entry.is_dir for entry in entries[:6])
    return f"{len(entries)} entries ({names}{', ...' if len(entries) > 6 else ''})" if entries else "nothing"


FINDERS: dict[str, Callable[[str, list[Entry] | None], Found]] = {
    "tar": find_tars,
    "files": find_files,
    "parquet": find_parquet,
    "arrow": find_arrow,
    "table": find_tables,
}
FORMATS: dict[str, tuple[str, ...]] = {
    "auto": ("tar", "files", "arrow", "parquet", "table"),
    "webdataset": ("tar",),
    "img2dataset": ("tar", "files", "parquet"),
    "parquet": ("parquet",),
    "huggingface": ("arrow", "parquet"),
    "table": ("table",),
}
# URLs of files are not asked whether they are folders: an http server cannot say.
KNOWN_SUFFIXES = (*TAR_NAMES, ".parquet", ".arrow", ".json", *TABLE_NAMES)
