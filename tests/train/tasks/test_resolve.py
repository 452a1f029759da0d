"""Names of tasks to data: what is there runs, what is not is named with where to get it."""

from __future__ import annotations

from pathlib import Path

import fsspec
import pytest

from engine.errors import UserError
from train.evaluate import registry
from train.evaluate.resolve import resolve


def test_folders_are_found_by_any_of_their_names(tmp_path: Path) -> None:
    for folder in ("ImageNet_V2", "wds_vtab-pets", "PCam", "unrelated"):
        (tmp_path / folder).mkdir()
    located, missing = resolve(["imagenetv2", "pets", "camelyon", "svhn"], tmp_path)
    assert [(one.task.name, Path(one.path).name) for one in located] == [
        ("imagenetv2", "ImageNet_V2"),
        ("pets", "wds_vtab-pets"),
        ("camelyon", "PCam"),
    ]
    assert [one.task.name for one in missing] == ["svhn"]
    for part in (
        "svhn",
        "wds_vtab-svhn",
        str(tmp_path),
        "ufldl.stanford.edu",
        "huggingface.co/datasets/clip-ben",
    ):
        assert part in missing[0].message


def test_a_group_is_its_tasks_and_the_rest_runs(tmp_path: Path) -> None:
    (tmp_path / "dtd").mkdir()
    located, missing = resolve(["vtab"], tmp_path)
    assert [one.task.name for one in located] == ["dtd"]
    assert [one.task.name for one in missing] == [n for n in registry.groups()["vtab"] if n != "dtd"]


def test_own_data_and_data_elsewhere(tmp_path: Path) -> None:
    fsspec.filesystem("memory").pipe("/birds/1.jpg", b"")
    located, missing = resolve([f"coco={tmp_path}", "birds=memory://birds", "fish=/not/there"], None)
    assert [(one.task.name, one.path) for one in located] == [
        ("coco", str(tmp_path)),
        ("birds", "memory://birds"),
    ]
    assert located[0].task == registry.task("coco")
    assert located[1].task.classes == ()
    assert "/not/there" in missing[0].message
    assert "--root" in resolve(["coco"], None)[1][0].message


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["imagenett"], "did you mean imagenet?"),
        (["vtap"], "did you mean vtab?"),
        (["pets", "pets"], "pets: named twice"),
        (["vtab", "pets=/data"], "by vtab and by pets=/data"),
        (["vtab=/data"], "vtab is a group"),
        (["birds="], "NAME=PATH"),
        ([""], "an empty name"),
    ],
)
def test_what_cannot_be_meant(words: list[str], said: str) -> None:
    with pytest.raises(UserError, match=said.replace("?", r"\?")):
        resolve(words, None)
