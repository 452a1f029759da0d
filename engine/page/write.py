"""Writes the page: one file with everything in it, in which no caption can run.

Captions stand in a JSON block that browsers do not execute; the script puts them into the page as text only.
The policy in the head names the page's own script and style by hash: anything else is refused.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from engine.native import PrepareOptions, ThreadPool, commit_file, prepare_images
from engine.page.model import PageCaption, PageSample

_PAGE = Path(__file__).parent / "data" / "page"
_BASE = _PAGE.with_name("base")
_IMAGES_AT_ONCE = 64
# Stretched to its shorter side, a banner of 50:1 would still be a large file.
_LARGEST_THUMBNAIL = 60_000


def write_page(path: Path, title: str, samples: Iterable[PageSample], sources: Sequence[str]) -> int:
    """Writes the page and returns how many samples are on it.

    Args:
        path: The file; it appears whole or not at all.
        title: What was looked at.
        samples: In the order of the page.
        sources: Caption sources in the order in which they stand side by side.

    Raises:
        OSError: the file cannot be written.
    """
    shown = list(_sample_rows(samples, ThreadPool(1)))
    data = {"title": title, "sources": list(sources), "samples": shown}
    commit_file(path, page_text(_PAGE, title, data).encode())
    return len(shown)


def page_text(template: Path, title: str, data: Mapping[str, Any]) -> str:
    """One HTML file of a template and its data.

    Args:
        template: without suffix; `.html` (the body), `.css` and `.js` lie there and come after what all pages
            share. The script finds the data in `data`.
        title: stands where the template says @TITLE@.
        data: of JSON's kinds.
    """
    style, script = (_text(_BASE, kind) + _text(template, kind) for kind in (".css", ".js"))
    policy = (
        f"default-src 'none'; img-src data:; style-src '{_hash(style)}'; script-src '{_hash(script)}';"
        " base-uri 'none'; form-action 'none'"
    )
    page = _text(_BASE, ".html").replace("@BODY@", _text(template, ".html"))
    for name, text in {"POLICY": policy, "STYLE": style, "SCRIPT": script}.items():
        page = page.replace(f"@{name}@", text)
    # Then what is given, so that nothing in it is taken for a place holder.
    before, after = (part.replace("@TITLE@", html.escape(title)) for part in page.split("@DATA@"))
    return before + _json(data) + after


def _text(template: Path, kind: str) -> str:
    return template.with_suffix(kind).read_text(encoding="utf-8")


def _json(data: Mapping[str, Any]) -> str:
    """JSON that cannot end the block it stands in; lone surrogates stay escaped."""
    text = json.dumps(data, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


class Thumbnail(NamedTuple):
    """A small picture as data URI; where it is empty, `state` says why."""

    uri: str
    state: str


def thumbnails(images: Sequence[bytes | None], pool: ThreadPool, shorter: int = 160) -> list[Thumbnail]:
    """Small pictures of image files, None where there is none.

    Args:
        images: files.
        pool: whose threads to use.
        shorter: pixels of the shorter side; smaller images stay as they are.
    """
    options = PrepareOptions(resize_shorter=shorter, quality=72)
    made, _, _ = prepare_images([image or b"" for image in images], options, pool)
    return [_thumbnail(file, image) for file, image in zip(images, made, strict=True)]


def _thumbnail(file: bytes | None, image: bytes | None) -> Thumbnail:
    if image is None:
        return Thumbnail("", "no image" if file is None else "image cannot be decoded")
    if len(image) > _LARGEST_THUMBNAIL:
        return Thumbnail("", "no thumbnail")
    kind = "png" if image.startswith(b"\x89PNG") else "webp" if image.startswith(b"RIFF") else "jpeg"
    return Thumbnail(f"data:image/{kind};base64,{base64.b64encode(image).decode()}", "")


def _sample_rows(samples: Iterable[PageSample], pool: ThreadPool) -> Iterable[dict[str, Any]]:
    left = iter(samples)
    while chunk := list(islice(left, _IMAGES_AT_ONCE)):
        for sample, small in zip(chunk, thumbnails([s.image for s in chunk], pool), strict=True):
            yield {
                "key": sample.key,
                "where": sample.where,
                "image": small.uri,
                "state": small.state,
                "captions": [_caption(caption) for caption in sample.captions],
            }


def _caption(caption: PageCaption) -> dict[str, Any]:
    row: dict[str, Any] = {"source": caption.source, "text": caption.text}
    if caption.tokens is not None:
        row["tokens"] = caption.tokens
    if caption.score is not None:
        row["score"] = round(caption.score, 4)
    for name in ("code", "fallback"):
        if value := getattr(caption, name):
            row[name] = value
    if caption.details:
        row["details"] = dict(caption.details)
    return row
