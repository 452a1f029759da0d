"""The released caption sets: how their files are read, what their columns are called here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.imports.rows import read_csv, read_json, read_parquet
from engine.imports.syn_json import read_syn_tar

Rows = Iterator[Mapping[str, Any]]


@dataclass(frozen=True)
class Release:
    """A released set.

    `keys` are the columns that a sample may be named by (the first that is there is taken), `captions` the
    sources and, for each, the columns that its text may stand in.
    """

    name: str
    about: str
    read: Callable[[Path], Rows]
    keys: Sequence[str]
    captions: Mapping[str, Sequence[str]]


_URLS = ("url", "image_url", "link", "web_link", "img_url")
_DREAMLIP = ("shortIB", "longIB", "shortSV", "longSV", "shortLLA", "longLLA")
_TABLE_KEYS = ("url", "key", "image_path", "Image Path", "filepath", "image", "filename", "file_name")

RELEASES = {
    release.name: release
    for release in (
        # The field names of VeCap-300M's JSON are not documented; these are the ones to be expected.
        Release(
            "vecap300m", "VeCap-300M: JSON with URL and VeCap", read_json, _URLS,
            {"vecap": ("vecap", "caption", "text", "veclip_caption")},
        ),
        Release(
            "capsfusion", "CapsFusion-120M: parquet", read_parquet, ("image_url", "url"),
            {"capsfusion": ("capsfusion",), "laion_coco": ("laion_coco",)},
        ),
        Release(
            "recap", "Recap-DataComp-1B: parquet", read_parquet, ("url", "key"), {"recap": ("re_caption",)}
        ),
        Release(
            "laclip", "LaCLIP: the images' csv, and one --lines NAME=TXT for each rewrite", read_csv,
            _TABLE_KEYS, {},
        ),
        Release(
            "datacompdr", "DataCompDR: tars with NAME.syn.json (and NAME.url.txt)", read_syn_tar,
            ("key", "url"), {f"datacompdr/{n}": (f"syn_text[{n}]",) for n in range(5)},
        ),
        Release(
            "dreamlip", "DreamLIP: csv with long and short captions", read_csv, _TABLE_KEYS,
            {f"dreamlip/{name}": (f"{name}_captions", name) for name in _DREAMLIP},
        ),
    )
}  # fmt: skip
