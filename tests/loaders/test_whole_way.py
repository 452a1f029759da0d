"""From files on disk through engine.shard to batches, against open_clip's tokenizer."""

from __future__ import annotations

import csv
from pathlib import Path

import open_clip
import pytest
from PIL import Image

from engine.shard import main
from loaders.loader import DataConfig, build_loader
from loaders.policy import CaptionPolicy
from loaders.retrieval import RetrievalConfig, build_retrieval_loader

CAPTIONS = [
    ("IMG_0042.JPG", "A brown dog runs over wet grass."),
    ("sale!! 50% off — naïve café 🍰", "Three cakes on a white plate, seen from above."),
    ("untitled", "word " * 200),
]
COUNT = 24


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("source")
    with open(folder / "pairs.csv", "w", newline="", encoding="utf-8") as table:
        rows = csv.writer(table)
        rows.writerow(["image", "alt", "dense"])
        for i in range(COUNT):
            Image.new("RGB", (40 + i, 30), (i * 9, 255 - i, 80)).save(folder / f"{i:03d}.jpg")
            rows.writerow([f"{i:03d}.jpg", *CAPTIONS[i % 3]])
    arguments = [str(folder / "pairs.csv"), "--caption", "alttext=alt", "--caption", "vecap=dense"]
    assert main([*arguments, "--out", str(folder / "out")]) == 0
    return folder / "out"


def test_text_is_open_clips_token_for_token(shards: Path) -> None:
    tokenize = open_clip.get_tokenizer("ViT-B-32")
    expected = {tuple(tokenize([text])[0].tolist()) for pair in CAPTIONS for text in pair}
    config = DataConfig(str(shards), 8, image_size=16, threads=1, dtype="uint8", policy=CaptionPolicy())
    loader = build_loader(config)
    found = {tuple(row) for _ in range(4) for batch in loader for row in batch["text"].tolist()}
    assert found == expected


def test_retrieval_reads_it_too(shards: Path) -> None:
    batches = list(build_retrieval_loader(RetrievalConfig(str(shards), 10, image_size=16, threads=1)))
    assert [len(batch["key"]) for batch in batches] == [10, 10, 4]
    assert sum(len(batch["text"]) for batch in batches) == 2 * COUNT
