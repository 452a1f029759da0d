"""COCO's `captions_*.json` and Karpathy's `dataset_*.json`: one document with all images and captions."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from engine.errors import UserError
from engine.sources.rows import Row, RowReader
from engine.sources.storage import open_binary

# captions_train2017.json has 92 MB; the parsed document takes about ten times its size in memory.
MAX_DOCUMENT_BYTES = 1 << 30


@dataclass(frozen=True)
class CocoRows(RowReader):
    """One row per image, in the order of `images`; positions are indices into it."""

    path: str
    columns: tuple[str, ...] = ("image", "id", "split", "caption")

    def rows(self) -> Iterator[Row]:
        """One row per image."""
        yield from load_rows(self.path)

    def fetch(self, positions: Sequence[int]) -> Iterator[Row]:
        """Rows by index; the document is parsed once per process."""
        rows = load_rows(self.path)
        for position in positions:
            yield rows[position]


@lru_cache(maxsize=1)
def load_rows(path: str) -> list[Row]:
    """Parse a document.

    Raises:
        UserError: not JSON, too large, or without `images`.
    """
    with open_binary(path) as stream:
        data = stream.read(MAX_DOCUMENT_BYTES + 1)
    if len(data) > MAX_DOCUMENT_BYTES:
        raise UserError(f"{path}: over {MAX_DOCUMENT_BYTES >> 20} MiB; write it as JSON lines")
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: no JSON: {error}") from None
    if not isinstance(document, dict) or not isinstance(document.get("images"), list):
        raise UserError(f"{path}: no list `images` in the document; expected COCO or Karpathy's format")
    captions = captions_by_image(document)
    return [_row(position, image, captions) for position, image in enumerate(document["images"])]


def captions_by_image(document: dict[str, Any]) -> dict[object, list[object]]:
    """COCO's annotations, grouped by image id in file order."""
    found: dict[object, list[object]] = defaultdict(list)
    annotations = document.get("annotations")
    for annotation in annotations if isinstance(annotations, list) else []:
        if isinstance(annotation, dict) and isinstance(annotation.get("image_id"), (int, str)):
            found[annotation["image_id"]].append(annotation.get("caption"))
    return found


def _row(position: int, image: object, captions: dict[object, list[object]]) -> Row:
    if not isinstance(image, dict):
        return Row(position, {}, "an entry of `images` is no object")
    name = image.get("file_name") or image.get("filename")
    folder = image.get("filepath")
    if isinstance(folder, str) and isinstance(name, str):  # Karpathy's COCO: val2014 + COCO_val2014_...jpg
        name = f"{folder}/{name}"
    sentences = image.get("sentences")
    texts = captions.get(image["id"], []) if isinstance(image.get("id"), (int, str)) else []
    if isinstance(sentences, list):
        texts = [sentence.get("raw") if isinstance(sentence, dict) else None for sentence in sentences]
    cells = {"image": name, "id": image.get("id"), "split": image.get("split"), "caption": texts}
    return Row(position, cells)
