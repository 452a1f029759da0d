"""A registered task's classes out of every layout that names them its own way."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import datasets
import pytest

from engine.errors import UserError
from tests.train.sets.kit import items, picture
from train.evaluate import registry
from train.evaluate.classification import label_numbers, task_classes
from train.evaluate.sets import open_set

EUROSAT = registry.task("eurosat")
# In the order of the task, as the data set's folders are called.
FOLDERS = (
    "AnnualCrop", "Forest", "HerbaceousVegetation", "Highway", "Industrial",
    "Pasture", "PermanentCrop", "Residential", "River", "SeaLake",
)  # fmt: skip


def numbers_at(path: Path) -> list[int]:
    found = open_set(path, EUROSAT.kind, EUROSAT)
    read = items(found)
    labels = [item.label for item in read]
    classes = task_classes(EUROSAT, found, labels)
    return label_numbers(EUROSAT, found, classes, [item.key for item in read], labels).tolist()


def folders(to: Path, names: tuple[str, ...]) -> None:
    for at, name in enumerate(names):
        (to / name).mkdir(parents=True)
        (to / name / f"{name}_1.jpg").write_bytes(picture(at))


def tars(to: Path, classnames: list[str]) -> None:
    """CLIP_benchmark's layout; image N is of the class that the set calls N."""
    (to / "test").mkdir(parents=True)
    (to / "classnames.txt").write_text("\n".join(classnames))
    with tarfile.open(to / "test" / "0.tar", "w") as tar:
        for at in range(len(classnames)):
            for name, data in ((f"s{at:03}.jpg", picture(at)), (f"s{at:03}.cls", str(at).encode())):
                member = tarfile.TarInfo(name)
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))


def parquet(to: Path, names: list[str]) -> None:
    """As on the Hub; image N is of the class that the set calls N."""
    to.mkdir(parents=True)
    features = datasets.Features(
        {"image": datasets.Image(decode=False), "label": datasets.ClassLabel(names=names)}
    )
    rows = {
        "image": [{"bytes": picture(at), "path": None} for at in range(len(names))],
        "label": list(range(len(names))),
    }
    table = datasets.Dataset.from_dict(rows, features=features)
    table.to_parquet(str(to / "test-00000-of-00001.parquet"))


NAMES = [one.name for one in EUROSAT.classes]
ORDER = list(range(10))


@pytest.mark.parametrize(
    ("write", "expected"),
    [
        (lambda to: folders(to, FOLDERS), ORDER),
        (lambda to: folders(to, tuple(map(str, ORDER))), ORDER),
        (lambda to: tars(to, NAMES), ORDER),
        (lambda to: tars(to, NAMES[::-1]), ORDER[::-1]),
        (lambda to: parquet(to, list(FOLDERS)), ORDER),
        (lambda to: parquet(to, NAMES[::-1]), ORDER[::-1]),
        # A name of their own for one class, in the task's order otherwise (CIFAR-100 has `cra` on the Hub).
        (lambda to: parquet(to, [*NAMES[:4], "workshops", *NAMES[5:]]), ORDER),
    ],
)
def test_the_same_classes(tmp_path: Path, write: Callable[[Path], None], expected: list[int]) -> None:
    write(tmp_path / "set")
    assert numbers_at(tmp_path / "set") == expected


def test_a_name_of_their_own_in_another_order_is_refused(tmp_path: Path) -> None:
    names = NAMES[::-1]
    parquet(tmp_path / "set", [*names[:4], "workshops", *names[5:]])
    with pytest.raises(UserError, match="'workshops'"):
        numbers_at(tmp_path / "set")


def test_folders_counted_from_one_are_refused(tmp_path: Path) -> None:
    folders(tmp_path / "set", tuple(str(at + 1) for at in ORDER))
    with pytest.raises(UserError, match="'10'"):
        numbers_at(tmp_path / "set")
