"""Against those who read the same files: clip_benchmark's own reader, and real sets read by hand."""

from __future__ import annotations

import io
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from clip_benchmark.datasets.builder import build_wds_dataset
from clip_benchmark.datasets.flickr import Flickr
from PIL import Image

from tests.engine.sources_kit import shared_data
from tests.train.sets import kit
from train.evaluate.sets import open_set
from train.evaluate.tasks import ClassName, Kind, Task

pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # clip_benchmark leaves files open
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning"),
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:WebDataset.shardshuffle:UserWarning"),
]


def pixels(data: bytes) -> bytes:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).tobytes()


def test_tars_as_clip_benchmark_reads_them(tmp_path: Path) -> None:
    kit.class_tars(tmp_path)
    theirs = build_wds_dataset("any", lambda image: np.asarray(image).tobytes(), "test", str(tmp_path))
    found = kit.classes_at(tmp_path)
    assert [(pixels(item.image), int(item.label)) for item in kit.items(found)] == list(theirs)
    assert list(found.classnames) == theirs.classes
    assert [text.replace("{}", "{c}") for text in found.templates] == theirs.templates


def test_captions_in_tars_as_clip_benchmark_reads_them(tmp_path: Path) -> None:
    kit.caption_tars(tmp_path)
    theirs = build_wds_dataset("any", lambda image: np.asarray(image).tobytes(), "test", str(tmp_path))
    ours = [(pixels(item.image), list(item.texts)) for item in kit.items(kit.captions_at(tmp_path))]
    assert ours == list(theirs)


def test_flickrs_csv_as_clip_benchmark_reads_it(tmp_path: Path) -> None:
    """Its reader does not undo csv's quotation marks: texts without them."""
    kit.write_files(tmp_path / "Images", kit.NAMES)
    rows = [f"{name},{way} dogs run\n" for name in kit.NAMES for way in range(5)]
    (tmp_path / "captions.txt").write_text("image,caption\n" + "".join(rows))
    theirs = Flickr(str(tmp_path / "Images"), str(tmp_path / "captions.txt"))
    ours = [(pixels(item.image), list(item.texts)) for item in kit.items(kit.captions_at(tmp_path))]
    assert ours == [(np.asarray(image).tobytes(), texts) for image, texts in theirs]


def test_flickr8k_test_split() -> None:
    folder = shared_data("flickr8k")
    names = set((folder / "Flickr_8k.testImages.txt").read_text().split())
    expected: dict[str, list[str]] = defaultdict(list)
    for line in (folder / "Flickr8k.token.txt").read_text(encoding="utf-8").splitlines():
        image, text = line.split("\t")
        if image[:-2] in names:
            expected[image[:-2]].append(text.strip())
    items = kit.items(kit.captions_at(folder))
    assert {item.key: list(item.texts) for item in items} == expected
    assert (len(items), sum(len(item.texts) for item in items)) == (1000, 5000)
    assert all(item.image == (folder / "images" / item.key).read_bytes() for item in items)


def test_coco_sample() -> None:
    items = kit.items(kit.captions_at(shared_data("coco")))
    assert (len(items), {len(item.texts) for item in items}) == (60, {5})


def test_cifar10_folders() -> None:
    found = kit.classes_at(shared_data("cifar10_test"))
    assert (found.images, len(kit.items(found)), len(found.labels)) == (2000, 2000, 10)


def test_imagenet_sample() -> None:
    folder = shared_data("imagenet_sample_224")
    labels = sorted(path.name.split("_")[0] for path in folder.iterdir())
    task = Task("imagenet", "", Kind.CLASSES, tuple(ClassName(label, (label,)) for label in labels))
    found = open_set(folder, Kind.CLASSES, task)
    assert [item.label for item in kit.items(found)] == list(found.labels) == labels
    assert len(labels) == 1000
