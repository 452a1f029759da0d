"""What both sides read: the same images in the layouts of each, and models with random weights in files."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import torch

from benchmarks.evaluate.work import TINY

TINY_CONFIG = {
    "embed_dim": 64,
    "vision_cfg": {"image_size": 224, "layers": 2, "width": 64, "patch_size": 32, "head_width": 32},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 2},
}
IMAGES, TEXTS, WIDTH = 5_000, 25_000, 512


def make_place(place: Path, images: Path, flickr8k: Path, models: list[str]) -> None:
    """Fill a folder for `benchmarks.evaluate.work`.

    Args:
        place: a new folder.
        images: ImageNet's, named LABEL_anything.
        flickr8k: with images/, Flickr8k.token.txt and Flickr_8k.testImages.txt.
        models: names of open_clip's, or `bench-tiny`.
    """
    import open_clip

    (place / "configs").mkdir(parents=True)
    (place / "configs" / f"{TINY}.json").write_text(json.dumps(TINY_CONFIG))
    open_clip.add_model_config(place / "configs")
    for name in models:
        torch.manual_seed(0)
        torch.save({"state_dict": open_clip.create_model(name).state_dict()}, place / f"{name}.pt")
    _class_folders(place, images)
    _captions(place, flickr8k)
    draws = torch.Generator().manual_seed(1)
    features = [torch.randn(n, WIDTH, generator=draws) for n in (IMAGES, TEXTS)]
    unit = [torch.nn.functional.normalize(one, dim=-1) for one in features]
    torch.save((*unit, torch.arange(TEXTS) // (TEXTS // IMAGES)), place / "features.pt")


def _class_folders(place: Path, images: Path) -> None:
    """Class folders in the order of their labels, which is that of the names."""
    import open_clip

    labels = []
    for file in sorted(images.iterdir()):
        label = file.name.split("_")[0]
        labels.append(label)
        (place / "classes" / label).mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, place / "classes" / label / file.name)
    names = open_clip.IMAGENET_CLASSNAMES[: len(set(labels))]
    (place / "classes.json").write_text(json.dumps(dict(zip(sorted(set(labels)), names, strict=True))))


def _captions(place: Path, flickr8k: Path) -> None:
    """The test images with their five captions: a table for us, and what CLIP_benchmark takes for csv."""
    wanted = set((flickr8k / "Flickr_8k.testImages.txt").read_text().split())
    (place / "retrieval" / "images").mkdir(parents=True)
    rows = [("image", "caption")]
    for line in (flickr8k / "Flickr8k.token.txt").read_text(encoding="utf-8").splitlines():
        key, caption = line.split("\t")
        if (name := key.split("#")[0]) in wanted:
            rows.append((name, caption.strip()))
    for name in wanted & {row[0] for row in rows}:
        shutil.copyfile(flickr8k / "images" / name, place / "retrieval" / "images" / name)
    for file, mark in (("retrieval/captions.tsv", "\t"), ("captions.csv", ",")):
        (place / file).write_text("".join(f"{mark.join(row)}\n" for row in rows), encoding="utf-8")
