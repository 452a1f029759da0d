"""What the page shows of a sample."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class PageCaption:
    """One caption; `code`, `fallback` and `details` come from a ledger, `tokens` and `score` from shards."""

    source: str
    text: str
    tokens: int | None = None
    score: float | None = None
    code: str = ""
    fallback: str = ""
    details: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class PageSample:
    """One sample: `image` is the image file, None where there is none (a ledger has none)."""

    key: str
    where: str
    image: bytes | None
    captions: tuple[PageCaption, ...]
