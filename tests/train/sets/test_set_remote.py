"""Sets behind an fsspec URL give what they give on a disk."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import fsspec
import pytest

from engine.errors import UserError
from tests.train.sets import kit
from train.evaluate.sets import find_kind, open_set
from train.evaluate.tasks import Kind

pytestmark = [
    pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning"),
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),
]


@pytest.fixture
def url() -> Iterator[str]:
    yield "memory://sets/one"
    fsspec.filesystem("memory").rm("/sets", recursive=True)


def upload(layout: Callable[[Path], None], folder: Path, url: str) -> None:
    layout(folder)
    fsspec.filesystem("memory").put(f"{folder}/", url.removeprefix("memory:/"), recursive=True)


@pytest.mark.parametrize("layout", [
    kit.class_tars, kit.class_parquet, kit.class_arrow, kit.caption_tars, kit.caption_parquet,
    kit.caption_arrow, kit.coco, kit.karpathy, kit.flickr8k, kit.beside,
], ids=lambda layout: layout.__name__)  # fmt: skip
def test_as_on_a_disk(tmp_path: Path, url: str, layout: Callable[[Path], None]) -> None:
    upload(layout, tmp_path / "set", url)
    kind = find_kind(tmp_path / "set")
    assert find_kind(url) is kind
    near, far = (open_set(path, kind, kit.ANY[kind]) for path in (tmp_path / "set", url))
    items = kit.items(far)
    assert items == kit.items(near)
    assert (far.labels, far.classnames, far.templates) == (near.labels, near.classnames, near.templates)
    assert far.pictures([items[3].key]) == {items[3].key: items[3].image}


def test_class_folders_are_local(tmp_path: Path, url: str) -> None:
    upload(kit.class_folders, tmp_path / "set", url)
    with pytest.raises(UserError, match=r"found 4 entries .*class folders on a disk"):
        open_set(url, Kind.CLASSES, kit.ANY[Kind.CLASSES])
    with pytest.raises(UserError, match="nowhere: not found"):
        open_set("memory://nowhere", Kind.CLASSES, kit.ANY[Kind.CLASSES])
