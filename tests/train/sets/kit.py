"""The same images with classes, or with captions, in every layout that sets are handed around in."""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow.parquet as pq
from clip_benchmark import webdataset_builder
from PIL import Image

from engine.errors import UserError as UserError
from engine.records import Reject
from engine.shard import main as shard
from train.evaluate.sets import open_set
from train.evaluate.sets.base import ImageSet, Item
from train.evaluate.tasks import Kind, Task

COUNT = 300  # more than a unit's 256
CLASSES = ("apple", "bee_eater", "car")
ANY = {kind: Task(kind.value, kind.value, kind) for kind in Kind}


def picture(number: int) -> bytes:
    """A small JPEG, another one for every number."""
    pixels = np.random.default_rng(number).integers(0, 256, (8, 8, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG")
    return file.getvalue()


IMAGES = [picture(number) for number in range(COUNT)]
LABELS = [CLASSES[number * len(CLASSES) // COUNT] for number in range(COUNT)]
NAMES = [f"{number:04}_x.jpg" for number in range(COUNT)]
# as many as Flickr's, sometimes more, with what separates cells elsewhere
TEXTS = [
    [f'picture {number}, seen "{way}", café' for way in range(5 + number % 3 // 2)] for number in range(COUNT)
]


def read(found: ImageSet) -> list[Item | Reject]:
    """Everything in a set."""
    return [item for unit in found.units() for item in found.read(unit)]


def items(found: ImageSet) -> list[Item]:
    """Everything in a set in which nothing is wrong."""
    results = read(found)
    assert not [result for result in results if isinstance(result, Reject)]
    return [result for result in results if isinstance(result, Item)]


def classes_at(path: Path) -> ImageSet:
    return open_set(path, Kind.CLASSES, ANY[Kind.CLASSES])


def captions_at(path: Path) -> ImageSet:
    return open_set(path, Kind.RETRIEVAL, ANY[Kind.RETRIEVAL])


def write_files(folder: Path, names: list[str]) -> None:
    """The images under these names."""
    for name, image in zip(names, IMAGES, strict=True):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(image)


# -- classes


def class_folders(to: Path) -> None:
    write_files(to, [f"{label}/deeper/{name}" for label, name in zip(LABELS, NAMES, strict=True)])
    (to / "README.txt").write_text("not a class")


def class_folders_of_a_split(to: Path) -> None:
    class_folders(to / "test")
    (to / "train" / "apple").mkdir(parents=True)
    (to / "train" / "apple" / "not_of_this_split.jpg").write_bytes(IMAGES[0])


def class_table(to: Path) -> None:
    write_files(to / "images", NAMES)
    with (to / "labels.csv").open("w", newline="", encoding="utf-8") as file:
        rows = [(f"images/{name}", label) for name, label in zip(NAMES, LABELS, strict=True)]
        csv.writer(file).writerows([("image", "label"), *rows])


class Listed(list[Any]):
    """What clip_benchmark's builder reads: pairs, and the names of classes."""

    classes = tuple(f"a {name}" for name in CLASSES)
    templates = ("a photo of a {c}.", "the {c}.")


def class_tars(to: Path) -> None:
    write_files(to / "source", NAMES)
    rows = [(str(to / "source" / n), CLASSES.index(c)) for n, c in zip(NAMES, LABELS, strict=True)]
    copy = webdataset_builder.path_to_bytes
    webdataset_builder.convert_dataset(
        Listed(rows), "test", str(to), transform=copy, max_count=25, verbose=False
    )
    shutil.rmtree(to / "source")


def hub_features(**columns: Any) -> datasets.Features:
    return datasets.Features({"image": datasets.Image(decode=False), **columns})


def hub_rows(**columns: Any) -> dict[str, Any]:
    return {"image": [{"bytes": image, "path": None} for image in IMAGES], **columns}


def labelled_hub(column: str) -> datasets.Dataset:
    rows = hub_rows(**{column: [CLASSES.index(label) for label in LABELS]})
    features = hub_features(**{column: datasets.ClassLabel(names=list(CLASSES))})
    return datasets.Dataset.from_dict(rows, features=features)


def class_parquet(to: Path) -> None:
    (to / "data").mkdir(parents=True)
    for part in range(2):
        name = f"test-0000{part}-of-00002.parquet"
        labelled_hub("label").shard(2, part, contiguous=True).to_parquet(to / "data" / name, batch_size=20)
    labelled_hub("label").select([5]).to_parquet(to / "data" / "train-00000-of-00001.parquet")


def class_parquet_of_a_configuration(to: Path) -> None:
    (to / "cifar100").mkdir(parents=True)
    held = labelled_hub("fine_label").add_column("coarse_label", [0] * COUNT)
    held.to_parquet(to / "cifar100" / "test-00000-of-00001.parquet", batch_size=100)


def class_parquet_with_unpublished_test(to: Path) -> None:
    (to / "data").mkdir(parents=True)
    features = hub_features(label=datasets.ClassLabel(names=list(CLASSES)))
    hidden = datasets.Dataset.from_dict(hub_rows(label=[-1] * COUNT), features=features)
    hidden.to_parquet(to / "data" / "test-00000-of-00001.parquet")
    labelled_hub("label").to_parquet(to / "data" / "validation-00000-of-00001.parquet", batch_size=100)


def class_arrow(to: Path) -> None:
    held = labelled_hub("label")
    both = datasets.DatasetDict({"train": held.select([3]), "test": held})
    both.save_to_disk(str(to), num_shards={"train": 1, "test": 2})


CLASS_LAYOUTS: list[Callable[[Path], None]] = [
    class_folders, class_folders_of_a_split, class_table, class_tars, class_parquet, class_arrow,
    class_parquet_of_a_configuration, class_parquet_with_unpublished_test,
]  # fmt: skip

# -- captions


def caption_tars(to: Path) -> None:
    write_files(to / "source", NAMES)
    rows = [(str(to / "source" / name), texts) for name, texts in zip(NAMES, TEXTS, strict=True)]
    copy = webdataset_builder.path_to_bytes
    webdataset_builder.convert_retrieval_dataset(
        rows, "test", str(to), transform=copy, max_count=280, verbose=False
    )
    shutil.rmtree(to / "source")


def caption_parquet(to: Path) -> None:
    """With rows of other splits between those of the test split, as nlphuji/flickr30k has them."""
    (to / "data").mkdir(parents=True)
    other = {
        "image": {"bytes": IMAGES[0], "path": None},
        "caption": ["no"],
        "split": "train",
        "filename": "no",
    }
    rows = []
    for number, texts in enumerate(TEXTS):
        image = {"bytes": IMAGES[number], "path": None}
        rows += [{"image": image, "caption": texts, "split": "test", "filename": NAMES[number]}]
        rows += [other] * 3 if number % 100 == 0 else []
    rows += [other] * 600
    text = datasets.Value("string")
    features = hub_features(caption=datasets.List(text), split=text, filename=text)
    made = datasets.Dataset.from_list(rows, features=features)
    made.to_parquet(to / "data" / "test-00000-of-00001.parquet", batch_size=50)


def caption_columns(to: Path) -> None:
    """caption_0 ... caption_5, the last mostly empty."""
    to.mkdir()
    columns = {
        f"caption_{way}": [texts[way] if way < len(texts) else None for texts in TEXTS] for way in range(6)
    }
    features = hub_features(**dict.fromkeys(columns, datasets.Value("string")))
    made = datasets.Dataset.from_dict(hub_rows(**columns), features=features)
    pq.write_table(made.data.table, to / "test.parquet", row_group_size=64)


def caption_arrow(to: Path) -> None:
    features = hub_features(caption=datasets.List(datasets.Value("string")))
    datasets.Dataset.from_dict(hub_rows(caption=TEXTS), features=features).save_to_disk(str(to))


def coco(to: Path) -> None:
    """Annotations in another order than images, as COCO's are."""
    write_files(to / "val2014", NAMES)
    pairs = [
        (number, way) for way in range(6) for number in reversed(range(COUNT)) if way < len(TEXTS[number])
    ]
    document = {
        "images": [{"id": number + 7, "file_name": name} for number, name in enumerate(NAMES)],
        "annotations": [
            {"id": at, "image_id": number + 7, "caption": TEXTS[number][way]}
            for at, (number, way) in enumerate(pairs)
        ],
    }
    (to / "annotations").mkdir()
    (to / "annotations" / "captions_val2014.json").write_text(json.dumps(document))
    (to / "annotations" / "captions_train2014.json").write_text('{"images": []}')
    (to / "annotations" / "instances_val2014.json").write_text("{}")


def karpathy(to: Path) -> None:
    """The images of other splits are not there."""
    write_files(to / "val2014", NAMES)
    images = []
    for number, texts in enumerate(TEXTS):
        sentences = [{"raw": text, "tokens": []} for text in texts]
        images.append(
            {"filepath": "val2014", "filename": NAMES[number], "split": "test", "sentences": sentences}
        )
        images.append(
            {"filepath": "train2014", "filename": f"{number}", "split": "train", "sentences": sentences}
        )
    (to / "dataset_coco.json").write_text(json.dumps({"dataset": "coco", "images": images}))


def flickr30k_tokens(to: Path) -> None:
    """Captions in any order: the number behind the image's name orders them."""
    write_files(to / "flickr30k-images", NAMES)
    lines = [
        f"{NAMES[number]}#{way}\t{text}\n"
        for number, texts in enumerate(TEXTS)
        for way, text in reversed(list(enumerate(texts)))
    ]
    (to / "results_20130124.token").write_text("".join(lines), encoding="utf-8")


def flickr8k(to: Path) -> None:
    """Texts and images in folders of their own; of more images than those of the test list."""
    flickr30k_tokens(to / "x")
    (to / "Flickr8k_Dataset").mkdir()
    (to / "x" / "flickr30k-images").rename(to / "Flickr8k_Dataset" / "Flicker8k_Dataset")
    (to / "Flickr8k_text").mkdir()
    table = (to / "x" / "results_20130124.token").read_text(encoding="utf-8")
    text = to / "Flickr8k_text"
    (text / "Flickr8k.token.txt").write_text("train.jpg#0\tof the train split\n" + table, encoding="utf-8")
    (text / "Flickr8k.lemma.token.txt").write_text("train.jpg#0\tof the train split\n")
    (text / "Flickr_8k.testImages.txt").write_text("\n".join(NAMES) + "\n")
    (text / "Flickr_8k.trainImages.txt").write_text("train.jpg\n")
    shutil.rmtree(to / "x")


def flickr_csv(to: Path) -> None:
    """Kaggle's Flickr30k."""
    write_files(to / "flickr30k_images", NAMES)
    lines = [
        f"{NAMES[number]}| {way}| {text}\n"
        for number, texts in enumerate(TEXTS)
        for way, text in enumerate(texts)
    ]
    (to / "results.csv").write_text(
        "image_name| comment_number| comment\n" + "".join(lines), encoding="utf-8"
    )


def kaggle_captions(to: Path) -> None:
    """Kaggle's Flickr8k."""
    write_files(to / "Images", NAMES)
    with (to / "captions.txt").open("w", newline="", encoding="utf-8") as file:
        rows = [(NAMES[number], text) for number, texts in enumerate(TEXTS) for text in texts]
        csv.writer(file).writerows([("image", "caption"), *rows])


def hub_csv(to: Path) -> None:
    """nlphuji/flickr30k as its files are: captions as a JSON list in a column."""
    write_files(to / "flickr30k-images", NAMES)
    with (to / "flickr_annotations_30k.csv").open("w", newline="", encoding="utf-8") as file:
        rows = [(json.dumps(texts), "test", name) for texts, name in zip(TEXTS, NAMES, strict=True)]
        rows.insert(9, (json.dumps(["no"]), "train", "not_there.jpg"))
        csv.writer(file).writerows([("raw", "split", "filename"), *rows])


def beside(to: Path) -> None:
    write_files(to, NAMES)
    for name, texts in zip(NAMES, TEXTS, strict=True):
        (to / name).with_suffix(".txt").write_text("\n".join(texts) + "\n", encoding="utf-8")


def own_shards(to: Path) -> None:
    beside(to / "files")
    lists = to / "captions.jsonl"
    rows = ({"image": name, "caption": texts} for name, texts in zip(NAMES, TEXTS, strict=True))
    lists.write_text("".join(json.dumps(row) + "\n" for row in rows))
    words = [str(lists), "--image-root", str(to / "files"), "--out", str(to / "shards"), "--workers", "1"]
    assert shard(words) == 0
    for path in (to / "shards").iterdir():
        path.rename(to / path.name)
    shutil.rmtree(to / "files")
    lists.unlink()


CAPTION_LAYOUTS: list[Callable[[Path], None]] = [
    caption_tars, caption_parquet, caption_columns, caption_arrow, coco, karpathy, flickr30k_tokens, flickr8k,
    flickr_csv, kaggle_captions, hub_csv, beside, own_shards,
]  # fmt: skip

# how many images there are is known only once they are read
UNCOUNTED = {class_tars, class_arrow, caption_tars, caption_arrow, beside}
