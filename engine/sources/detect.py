"""Which format an input has, by names and first rows; and what its fields are called where the user does not say."""

from __future__ import annotations

from collections.abc import Iterable

from engine.errors import UserError
from engine.sources.storage import Entry, base_name, is_dir, list_dir
from engine.sources.webdataset import TAR_NAMES

TABLE_NAMES = (".csv", ".tsv", ".jsonl", ".ndjson", "captions.txt")
IMAGE_COLUMNS = (
    "image", "image_path", "filepath", "file_path", "path", "file", "filename", "file_name", "image_name", "img",
    "img_path", "image_file",
)  # fmt: skip
CAPTION_COLUMNS = (
    "alttext", "alt_text", "alt", "txt", "text", "caption", "captions", "comment", "title", "sentence", "sentences",
)  # fmt: skip
OWN_NAMES = ("vec", "vecap")


def pick(columns: Iterable[str], wanted: Iterable[str]) -> str | None:
    """The first of `wanted` among `columns`, case ignored, as the columns spell it."""
    spelled = {name.lower(): name for name in columns}
    return next((spelled[name] for name in wanted if name in spelled), None)


def default_captions(columns: Iterable[str]) -> dict[str, str]:
    """Caption sources of a table: the first known caption column as `alttext`; `vec`, `vecap` and rewrites as they are."""
    columns = list(columns)
    found = {name: name for name in columns if name in OWN_NAMES or name.startswith("rewrite/")}
    main = pick((name for name in columns if name not in found), CAPTION_COLUMNS)
    return {"alttext": main, **found} if main else found


def detect_format(path: str) -> tuple[str, list[str]]:
    """The format of one input and the files it stands for.

    Raises:
        UserError: no format fits; says what was found.
    """
    if is_tar(path):
        return "webdataset", [path]
    if path.endswith(TABLE_NAMES):
        return "table", [path]
    if not is_dir(path):
        raise unknown(path, "a file of another kind")
    entries = list_dir(path)
    tars = [entry.path for entry in entries if is_tar(entry.name) and not entry.is_dir]
    if tars:
        return "webdataset", tars
    tables = [entry.path for entry in entries if entry.name.endswith(TABLE_NAMES) and not entry.is_dir]
    if tables:
        return "table", [best_table(tables)]
    raise unknown(path, describe(entries))


def is_tar(path: str) -> bool:
    """Whether the name is a tar's."""
    return path.endswith(TAR_NAMES)


def best_table(tables: list[str]) -> str:
    """Of several tables in a folder the one with most structure: Flickr8k has the same captions twice."""
    return min(tables, key=lambda path: (".token" not in base_name(path), tables.index(path)))


def describe(entries: list[Entry]) -> str:
    """What a folder holds, in a few words."""
    names = ", ".join(entry.name + "/" * entry.is_dir for entry in entries[:6])
    return f"{len(entries)} entries ({names}{', ...' if len(entries) > 6 else ''})" if entries else "nothing"


def unknown(path: str, found: str) -> UserError:
    """The error for an input of no known format."""
    return UserError(
        f"{path}: no known format; found {found}; expected webdataset tars, img2dataset output, parquet, a Hugging Face "
        f"data set on disk, or a folder of images with a csv, tsv or jsonl table"
    )
