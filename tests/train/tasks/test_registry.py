"""The protocols against CLIP_benchmark's own files, and every label against every class."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import clip_benchmark.datasets
import pytest
from torchvision.datasets import Flowers102

from train.evaluate import registry
from train.evaluate.classification import numbers
from train.evaluate.tasks import Kind, normalised

# CLIP_benchmark's names of ours where they differ.
THEIRS = {"camelyon": "pcam", "imagenet": "imagenet1k", "imagenetv2": "imagenet1k"}
TEMPLATES = {
    "caltech101": 34, "cifar100": 18, "svhn": 6, "dtd": 8, "pets": 1,
    "flowers": 1, "eurosat": 3, "resisc45": 4, "camelyon": 2,
}  # fmt: skip


def theirs(file: str) -> Any:
    return json.loads((Path(clip_benchmark.datasets.__file__).parent / file).read_text())


@pytest.mark.parametrize("name", registry.groups()["vtab"])
def test_vtab_asks_as_clip_benchmark_does(name: str) -> None:
    """Its builder takes vtab/caltech101's names from caltech101_vtab."""
    task = registry.task(name)
    own = task.templates["clip"]
    key = THEIRS.get(name, name)
    assert len(own) == TEMPLATES[name]
    expected = theirs("en_zeroshot_classification_templates.json")[key]
    assert [t.replace("{}", "{c}") for t in own] == expected
    names = theirs("en_classnames.json")
    expected = names.get(f"{key}_vtab", names.get(key))
    # For the others it takes the data set's own.
    assert expected == [c.name for c in task.classes] or name in ("cifar100", "dtd", "resisc45")


@pytest.mark.parametrize("name", ["imagenet", "imagenetv2"])
def test_imagenet_is_clips(name: str) -> None:
    from clip_benchmark.datasets.builder import all_imagenet_wordnet_ids

    task = registry.task(name)
    assert [c.name for c in task.classes] == theirs("en_classnames.json")["imagenet1k"]
    known = numbers(task.classes, name)
    assert [known[wnid] for wnid in all_imagenet_wordnet_ids] == list(range(1000))
    expected = theirs("en_zeroshot_classification_templates.json")["imagenet1k"]
    assert [t.replace("{}", "{c}") for t in task.templates["ens80"]] == expected
    assert task.templates["single"] == ("A photo of a {}.",)


@pytest.mark.parametrize("name", registry.names())
def test_labels_tell_classes_apart(name: str) -> None:
    task = registry.task(name)
    known = numbers(task.classes, name)
    for at, one in enumerate(task.classes):
        assert known[str(at)] == at
        assert all(known[normalised(label)] == at for label in one.labels)
    assert bool(task.classes) == bool(task.templates) == (task.kind is Kind.CLASSES)
    assert task.images
    assert "://" in task.source


@pytest.mark.parametrize(
    ("task", "label", "name"),
    [
        ("caltech101", "Faces_easy", "centered face"),
        ("caltech101", "BACKGROUND_Google", "background"),
        ("cifar100", "aquarium_fish", "aquarium fish"),
        ("svhn", "0", "zero"),
        ("svhn", "10", "zero"),
        ("pets", "american_pit_bull_terrier", "American Pit Bull Terrier"),
        ("pets", "Egyptian_Mau", "Egyptian Mau"),
        ("eurosat", "HerbaceousVegetation", "brushland or shrubland"),
        ("resisc45", "ground_track_field", "ground track field"),
        ("dtd", "polka-dotted", "polka-dotted"),
        ("imagenet", "n01440764", "tench"),
        ("imagenet", "tench, Tinca tinca", "tench"),
        ("imagenetv2", "999", "toilet paper"),
    ],
)
def test_data_sets_own_labels(task: str, label: str, name: str) -> None:
    classes = registry.task(task).classes
    assert classes[numbers(classes, task)[normalised(label)]].name == name


def test_flowers_as_torchvision_and_tfds_name_them() -> None:
    classes = registry.task("flowers").classes
    known = numbers(classes, "flowers")
    assert [known[normalised(name)] for name in Flowers102.classes] == list(range(102))


def test_groups() -> None:
    groups = registry.groups()
    assert len(groups["vtab"]) == 9
    assert set(groups["veclip"]) == {
        *groups["vtab"],
        "imagenet",
        "imagenetv2",
        "coco",
        "flickr30k",
        "gpr1200",
    }
    assert set(groups["all"]) == {*groups["veclip"], "flickr8k"}
    assert all(len(set(names)) == len(names) for names in groups.values())
