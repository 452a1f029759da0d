"""Image files that a table names: found in a folder, never outside of it."""

from __future__ import annotations

import os
import stat
from functools import lru_cache

from engine.errors import UserError
from engine.sources.assemble import SampleError, too_large
from engine.sources.storage import exists, is_url, join, list_dir, open_binary, parent


def find_root(table: str, first_image: str, given: str | None) -> str:
    """The folder that image paths start from: the table's own, or one beside it (`images/`).

    Raises:
        UserError: the first image of the table is in none of them.
    """
    if given is not None:
        return given
    folder = parent(table)
    found = next((root for root in roots_of(folder) if holds(root, first_image)), None)
    if found is not None:
        return found
    raise UserError(
        f"{table}: its first image {first_image!r} is neither in {folder} nor in a folder in it; "
        f"name the folder of the images with --image-root"
    )


def roots_of(folder: str) -> list[str]:
    """The folder and those in it."""
    return [folder, *(entry.path for entry in list_dir(folder) if entry.is_dir)]


def holds(root: str, image: str) -> bool:
    """Whether an image path leads to a file below `root`."""
    if not safe_path(image):
        return False
    path = join(root, image)
    return exists(path) if is_url(path) else os.path.isfile(path)


def safe_path(path: str) -> bool:
    """Whether a relative path stays below where it starts."""
    parts = path.replace("\\", "/").split("/")
    return bool(parts[0]) and ".." not in parts and "\0" not in path and not is_url(path)


def read_image(root: str, path: object, max_bytes: int) -> bytes:
    """The bytes of an image file under `root`.

    Raises:
        SampleError: no path, a path (or link) that leaves `root`, no such file, or over `max_bytes`.
    """
    if not isinstance(path, str) or not path:
        raise SampleError("no_image", "the row names no image")
    if not safe_path(path):
        raise SampleError("unsafe_path", f"the image path {path!r} leaves the folder {root}")
    full = join(root, path)
    if is_url(full):
        return _read_url(full, max_bytes)
    try:
        real_root = _real_root(root)
        if os.path.commonpath([real_root, os.path.realpath(full)]) != real_root:
            raise SampleError("unsafe_path", f"the image {path!r} is a link that leaves the folder {root}")
    except (OSError, ValueError) as error:
        raise SampleError("image_missing", f"{path}: {error}") from None
    return read_file(full, path, max_bytes)


def read_file(full: str, name: str, max_bytes: int) -> bytes:
    """The bytes of a local image file, wherever it lies.

    Raises:
        SampleError: no such file, something else than a file, or over `max_bytes`.
    """
    try:
        # a named pipe would block for ever
        status = os.stat(full)
        if not stat.S_ISREG(status.st_mode):
            raise SampleError("image_missing", f"{name} is not a file")
        if status.st_size > max_bytes:
            raise too_large(status.st_size, max_bytes)
        with open(full, "rb") as stream:
            return stream.read(max_bytes + 1)
    except (OSError, ValueError) as error:
        raise SampleError("image_missing", f"{name}: {error}") from None


@lru_cache(maxsize=8)
def _real_root(root: str) -> str:
    return os.path.realpath(root)


def _read_url(url: str, max_bytes: int) -> bytes:
    try:
        with open_binary(url) as stream:
            return stream.read(max_bytes + 1)
    except (OSError, UserError) as error:
        raise SampleError("image_missing", str(error)) from None
