"""From a CLIP model's scores to the captions of a batch: `hcs` takes what open_clip itself ranks first."""

from __future__ import annotations

import sys
from pathlib import Path

import open_clip
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from engine import score, shard
from engine.errors import UserError
from loaders.loader import DataConfig, build_loader
from loaders.policy import CaptionPolicy

sys.path.insert(0, str(Path(__file__).parents[1] / "engine"))
from build_corpus import jpeg
from score_kit import make_open_clip

COUNT = 12
TEXTS = [[f"{word} number {n}" for word in ("dog", "red boat", "a", "sale!!")] for n in range(COUNT)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scored")
    make_open_clip(folder / "model")
    columns = {
        "key": [f"k{n}" for n in range(COUNT)],
        "image": [jpeg(n) for n in range(COUNT)],
        "caption": TEXTS,
    }
    pq.write_table(pa.table(columns), folder / "data.parquet")
    source = [str(folder / "data.parquet"), "--caption", "alttext=caption", "--key-column", "key"]
    model = ["--model", str(folder / "model"), "--device", "cpu", "--workers", "1"]
    assert score.main([*source, *model, "--out", str(folder / "ledger")]) == 0
    packing = ["--workers", "1", "--captions", str(folder / "ledger")]
    assert shard.main([*source, *packing, "--out", str(folder / "scored")]) == 0
    assert shard.main([*source, "--workers", "1", "--out", str(folder / "plain")]) == 0
    best = ["--keep-top", "alttext=1", "--out", str(folder / "best")]
    assert shard.main([*source, *packing, *best]) == 0
    return folder


def config(folder: Path, within: str) -> DataConfig:
    policy = CaptionPolicy({"alttext": 1}, within=within)
    return DataConfig(str(folder), 4, image_size=16, threads=1, dtype="uint8", policy=policy)


def batches(config: DataConfig) -> dict[str, list[int]]:
    return {
        key: row
        for batch in build_loader(config)
        for key, row in zip(batch["key"], batch["text"].tolist(), strict=True)
    }


@pytest.mark.parametrize(("name", "within"), [("scored", "hcs"), ("best", "random")])
def test_the_best_caption_is_open_clips(folder: Path, name: str, within: str) -> None:
    model, _, transform = open_clip.create_model_and_transforms(f"local-dir:{folder / 'model'}")
    model.eval()
    read, tokenize = (
        open_clip.get_tokenizer(f"local-dir:{folder / 'model'}"),
        open_clip.get_tokenizer("ViT-B-32"),
    )
    found = batches(config(folder / name, within))
    places = set()
    for n in range(COUNT):
        (folder / "image.jpg").write_bytes(jpeg(n))
        with torch.inference_mode():
            image = model.encode_image(transform(Image.open(folder / "image.jpg"))[None], normalize=True)
            texts = model.encode_text(read(TEXTS[n]), normalize=True)
        best = int((image @ texts.T)[0].argmax())
        places.add(best)
        assert found[f"k{n}"] == tokenize([TEXTS[n][best]])[0].tolist()
    assert len(places) > 1, "another place than the first must win somewhere"


def test_without_scores_it_says_how_to_make_them(folder: Path) -> None:
    with pytest.raises(UserError, match=r"hcs needs CLIP scores .*engine\.score and shard again"):
        build_loader(config(folder / "plain", "hcs"))
