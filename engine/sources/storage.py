"""Files and folders, local or behind an fsspec URL, through one small set of functions."""

from __future__ import annotations

import os
import posixpath
from dataclasses import dataclass
from typing import Any, BinaryIO, cast

from engine.errors import UserError

BUFFER_BYTES = 1 << 20
BACKENDS = {
    "s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "hf": "huggingface_hub", "http": "aiohttp",
    "https": "aiohttp", "abfs": "adlfs", "az": "adlfs", "sftp": "paramiko", "oci": "ocifs",
}  # fmt: skip


@dataclass(frozen=True)
class Entry:
    """One entry of a folder."""

    name: str
    path: str
    is_dir: bool


def is_url(path: str) -> bool:
    """Whether `path` is an fsspec URL rather than a local path."""
    return "://" in path


def join(folder: str, name: str) -> str:
    """`folder/name` for paths and URLs."""
    return posixpath.join(folder, name) if is_url(folder) else os.path.join(folder, name)


def base_name(path: str) -> str:
    """The last part of a path or URL."""
    return posixpath.basename(path.rstrip("/"))


def parent(path: str) -> str:
    """The folder that a path or URL is in."""
    return posixpath.dirname(path) if is_url(path) else os.path.dirname(path) or "."


def filesystem(url: str) -> tuple[Any, str]:
    """The fsspec file system of a URL and the path within it.

    Raises:
        UserError: unknown protocol, or its package is not installed.
    """
    import fsspec  # 30 ms: not needed for local files

    protocol = url.split("://", 1)[0]
    try:
        return cast("tuple[Any, str]", fsspec.core.url_to_fs(url))
    except ImportError:
        package = BACKENDS.get(protocol, protocol)
        raise UserError(
            f"{url}: reading {protocol}:// needs a package that is not installed: pip install {package}"
        ) from None
    except ValueError as error:
        raise UserError(f"{url}: {error}; expected a path or an fsspec URL (s3, gs, hf, http)") from None


def open_binary(path: str) -> BinaryIO:
    """Open for reading.

    Raises:
        UserError: there is no such file, or it cannot be opened.
    """
    try:
        if not is_url(path):
            return open(path, "rb", buffering=BUFFER_BYTES)
        system, inner = filesystem(path)
        return cast(BinaryIO, system.open(inner, "rb", block_size=4 * BUFFER_BYTES))
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be opened: {error}") from error


def is_dir(path: str) -> bool:
    """Whether `path` is a folder."""
    if not is_url(path):
        return os.path.isdir(path)
    system, inner = filesystem(path)
    return bool(system.isdir(inner))


def exists(path: str) -> bool:
    """Whether there is such a file or folder."""
    if not is_url(path):
        return os.path.exists(path)
    system, inner = filesystem(path)
    return bool(system.exists(inner))


def list_dir(folder: str) -> list[Entry]:
    """Entries sorted by name; hidden ones are left out."""
    entries = _list_url(folder) if is_url(folder) else _list_local(folder)
    return sorted((e for e in entries if not e.name.startswith(".")), key=lambda entry: entry.name)


def _list_local(folder: str) -> list[Entry]:
    try:
        with os.scandir(folder) as entries:
            return [Entry(e.name, join(folder, e.name), e.is_dir()) for e in entries]
    except OSError as error:
        raise UserError(f"{folder}: cannot be listed: {error}") from error


def _list_url(folder: str) -> list[Entry]:
    system, inner = filesystem(folder)
    found = []
    for info in system.ls(inner, detail=True):
        name = base_name(info["name"])
        if name and info["name"].rstrip("/") != inner.rstrip("/"):
            found.append(Entry(name, join(folder, name), info["type"] == "directory"))
    return found


def common_folder(paths: list[str]) -> str:
    """The deepest folder that all paths are in, or an empty string."""
    split = [parent(path).split("/") for path in paths]
    shortest = min(len(parts) for parts in split)
    same = next((n for n in range(shortest) if len({parts[n] for parts in split}) > 1), shortest)
    return "/".join(split[0][:same])


def relative_to(folder: str, path: str) -> str:
    """`path` without the folder that `common_folder` found: unlike file names, it is unique."""
    return path.removeprefix(folder).lstrip("/")
