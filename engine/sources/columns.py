"""What columns are called where the user does not say."""

from __future__ import annotations

from collections.abc import Iterable

from engine.errors import UserError
from engine.sources.options import SourceOptions
from engine.sources.selectors import parse_selector

IMAGE_COLUMNS = (
    "image", "image_path", "filepath", "file_path", "path", "file", "filename", "file_name", "image_name",
    "img", "img_path", "image_file",
)  # fmt: skip
BYTES_COLUMNS = ("jpg", "jpeg", "png", "webp", "image", "image_bytes", "img", "bytes", "content")
CAPTION_COLUMNS = (
    "alttext", "alt_text", "alt", "txt", "text", "caption", "captions", "comment", "title", "sentence",
    "sentences",
)  # fmt: skip
KEY_COLUMNS = ("key", "__key__", "url", "uid", "id", "image_id")
OWN_NAMES = ("vec", "vecap")


def pick(columns: Iterable[str], wanted: Iterable[str]) -> str | None:
    """The first of `wanted` among `columns`, case ignored, as the columns spell it."""
    spelled = {name.lower(): name for name in columns}
    return next((spelled[name] for name in wanted if name in spelled), None)


def table_captions(path: str, columns: Iterable[str], options: SourceOptions) -> dict[str, str]:
    """Caption sources of a table: the user's, or the first known caption column as `alttext`.

    Columns named `vec`, `vecap` or `rewrite/...` are sources of their own.

    Raises:
        UserError: a named column does not exist, or none looks like captions and captions are needed.
    """
    columns = list(columns)
    if options.captions:
        check_fields(path, columns, options)
        return dict(options.captions)
    own = {name: name for name in columns if name in OWN_NAMES or name.startswith("rewrite/")}
    main = pick((name for name in columns if name not in own), CAPTION_COLUMNS)
    found = {"alttext": main, **own} if main else own
    if not found and not options.without_captions:
        raise UserError(
            f"{path}: no column that looks like captions among {', '.join(columns)}; "
            f"name one with --caption alttext=COLUMN"
        )
    return found


def check_fields(path: str, columns: list[str], options: SourceOptions) -> None:
    """Every selector needs at least one column that exists.

    Raises:
        UserError: one has none.
    """
    selectors = [*options.captions.items(), *options.scores.items()]
    if options.key_column:
        selectors.append(("key", options.key_column))
    for name, text in selectors:
        if not parse_selector(text).fields & set(columns):
            raise UserError(f"{path}: {name}={text}: no such column; the columns are {', '.join(columns)}")


def image_column(path: str, columns: Iterable[str], names: tuple[str, ...], options: SourceOptions) -> str:
    """The image column: the user's, a well-known name, or the only one there is.

    Raises:
        UserError: not found.
    """
    columns = list(columns)
    if options.image_column:
        found = options.image_column if options.image_column in columns else None
    else:
        found = pick(columns, names)
    if found is None:
        named = f" {options.image_column!r}" if options.image_column else ""
        raise UserError(
            f"{path}: no image column{named} among {', '.join(columns)}; name it with --image-column NAME"
        )
    return found
