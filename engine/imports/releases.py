"""The released caption sets: how their files are read, what their columns are called.

Where the names come from:
- VeCap-300M: an object that maps URL to caption, as `upload_dataset.py` in the history of apple/ml-veclip
  reads the released `wit_300m-0N-of-10.json`; the copy that it makes has the columns `url` and `caption`.
- CapsFusion-120M: the code sample in the README of baaivision/CapsFusion.
- Recap-DataComp-1B: the dataset card of UCSC-VLAA/Recap-DataComp-1B (features of the parquet files).
- LaCLIP: `data.py` of LijieFan/LaCLIP. Columns of the csv count by place (image, caption), a header is passed
  over; line i of each text file belongs to the i-th image. RedCaps' original is a text file: no image names.
- DataCompDR: the dataset cards of apple/DataCompDR-12M and -1B (`url.txt`, `syn.json`; in 1B `json`
  with `uid`).
- DreamLIP: the columns that FLAIR's download script gives to img2dataset (`Image Path`, `raw_caption`, six
  `*_captions`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.imports.lines import read_image_csv
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


_DREAMLIP = ("shortIB", "longIB", "shortSV", "longSV", "shortLLA", "longLLA")
_TABLE_KEYS = ("url", "key", "image_path", "Image Path", "filepath", "image", "filename", "file_name")

RELEASES = {
    release.name: release
    for release in (
        Release(
            "vecap300m", "VeCap-300M: JSON, URL to VeCap", read_json, ("url",), {"vecap": ("caption",)}
        ),
        Release(
            "capsfusion", "CapsFusion-120M: parquet", read_parquet, ("image_url", "url"),
            {"capsfusion": ("capsfusion",), "laion_coco": ("laion_coco",)},
        ),
        Release(
            "recap", "Recap-DataComp-1B: parquet", read_parquet, ("url", "key"), {"recap": ("re_caption",)}
        ),
        Release(
            "laclip", "LaCLIP: the images' csv, and one --lines NAME=TXT for each rewrite",
            read_image_csv, _TABLE_KEYS, {},
        ),
        Release(
            "datacompdr", "DataCompDR: tars with NAME.syn.json (and NAME.url.txt)", read_syn_tar,
            ("key", "url", "uid"), {f"datacompdr/{n}": (f"syn_text[{n}]",) for n in range(5)},
        ),
        Release(
            "dreamlip", "DreamLIP: csv with long and short captions", read_csv, _TABLE_KEYS,
            {f"dreamlip/{name}": (f"{name}_captions", name) for name in _DREAMLIP},
        ),
    )
}  # fmt: skip
