"""What a user says about the input."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

MAX_IMAGE_BYTES = 32 << 20  # the native decoder's limit for a file
MAX_TEXT_BYTES = 4 << 20  # of one text or JSON field, and of one line of a table


@dataclass(frozen=True)
class SourceOptions:
    """Where samples come from and what their fields mean; every default is found by looking at the input.

    Attributes:
        inputs: files, folders, globs, brace patterns, local or as fsspec URLs.
        format: `auto` or a name of `engine.sources.FORMATS`.
        captions: caption source name -> selector (`engine.sources.selectors`), e.g. `{"alttext": "txt"}`.
        scores: caption source name -> selector of CLIP scores, one per caption.
        image_column: column with the image bytes (parquet) or the image path (tables).
        image_root: folder that the image paths of a table start from.
        key_column: selector of the sample key instead of the source's own.
        only_keys: text file of keys or image paths, one a line; other samples are no part of the input.
        rows_per_unit: images per work unit where the input has no shards of its own.
        max_image_bytes: larger image files are rejected unread.
        without_captions: whether samples without any caption are kept; otherwise they are rejects.
    """

    inputs: tuple[str, ...]
    format: str = "auto"
    captions: Mapping[str, str] = field(default_factory=dict)
    scores: Mapping[str, str] = field(default_factory=dict)
    image_column: str | None = None
    image_root: str | None = None
    key_column: str | None = None
    only_keys: str | None = None
    rows_per_unit: int = 2000
    max_image_bytes: int = MAX_IMAGE_BYTES
    without_captions: bool = False
