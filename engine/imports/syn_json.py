"""DataCompDR's tars: `NAME.syn.json` with captions, `NAME.url.txt`, and in 1B `NAME.json` with `uid`."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from engine.errors import UserError

_LARGEST_MEMBER = 1 << 20  # bytes; five captions are a few kB


def read_syn_tar(path: Path) -> Iterator[Mapping[str, Any]]:
    """One row per sample: `key`, `url` and `uid` if there are any, and `syn_text[0]`, `syn_text[1]` ...

    The members of a sample stand together, as in every webdataset. Images and embeddings are passed over.

    Raises:
        UserError: it is no tar, or a `syn.json` is not what DataCompDR has.
    """
    row: dict[str, Any] = {}
    try:
        with tarfile.open(path, "r|*") as tar:
            for member in tar:
                key, _, field = member.name.rsplit("/", 1)[-1].partition(".")
                if field not in _FIELDS or not member.isfile():
                    continue
                if row and row["key"] != key:
                    yield row
                    row = {}
                row["key"] = key
                file = tar.extractfile(member) if member.size <= _LARGEST_MEMBER else None
                data = file.read() if file is not None else b""
                row.update(_FIELDS[field](data))
    except (OSError, tarfile.TarError) as error:
        raise UserError(f"{path}: cannot be read as a tar ({error})") from error
    if row:
        yield row


def _url(data: bytes) -> dict[str, Any]:
    return {"url": data.decode("utf-8", "replace").strip()}


def _uid(data: bytes) -> dict[str, Any]:
    try:
        return {"uid": str(json.loads(data)["uid"])}
    except (ValueError, KeyError, TypeError, RecursionError):
        return {}


def _texts(data: bytes) -> dict[str, Any]:
    try:
        texts = json.loads(data)["syn_text"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return {}
    return {f"syn_text[{n}]": text for n, text in enumerate(texts)} if isinstance(texts, list) else {}


_FIELDS: Mapping[str, Callable[[bytes], dict[str, Any]]] = {"url.txt": _url, "json": _uid, "syn.json": _texts}
