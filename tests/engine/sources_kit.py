"""Small inputs of every format, and where the shared real data is."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from engine.records import Record, Reject
from engine.sources import Source, SourceOptions, open_source

JPEG = bytes.fromhex("ffd8ffe000104a464946") + b"pixels"
REPOSITORY = Path(__file__).resolve().parents[2]


def shared_data(name: str) -> Path:
    """A folder or file of the real data, or a skip with the reason."""
    root = Path(os.environ.get("VECLIP_SHARED_DATA", REPOSITORY.parent / "shared" / "data"))
    if not (root / name).exists():
        pytest.skip(f"the shared data set {name} is not here (VECLIP_SHARED_DATA names its folder)")
    return root / name


def tar_bytes(members: Iterable[tuple[str, bytes]], format: int = tarfile.PAX_FORMAT) -> bytes:
    """A tar as Python's tarfile writes it."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=format) as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def pairs(count: int) -> list[tuple[str, bytes]]:
    """Members of `count` samples with image and caption."""
    return [
        member
        for n in range(count)
        for member in ((f"{n:05}.jpg", JPEG + b"%d" % n), (f"{n:05}.txt", b"caption %d" % n))
    ]


def everything(source: Source) -> list[Record | Reject]:
    """All samples of all units."""
    return [sample for unit in source.units() for sample in source.read(unit)]


def read_all(*inputs: object, **options: Any) -> list[Record | Reject]:
    """Open and read."""
    return everything(open_source(SourceOptions(tuple(str(path) for path in inputs), **options)))


def texts(sample: Record | Reject, source: str = "alttext") -> list[str]:
    """The captions of one source."""
    assert isinstance(sample, Record), sample
    return [caption.text for caption in sample.captions[source]]


def codes(samples: Iterable[Record | Reject]) -> list[str]:
    """`record` or the reject code of each sample."""
    return [sample.code if isinstance(sample, Reject) else "record" for sample in samples]
