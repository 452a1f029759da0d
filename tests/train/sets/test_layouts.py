"""The same content in every layout gives the same items, in the same order."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.train.sets import kit
from train.evaluate.sets import find_kind, open_set
from train.evaluate.sets.base import ImageSet
from train.evaluate.tasks import Kind, Task

# what clip_benchmark's builder starts its workers with
pytestmark = [
    pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning"),
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),
]


@pytest.mark.parametrize("layout", kit.CLASS_LAYOUTS, ids=lambda layout: layout.__name__)
def test_classes(tmp_path: Path, layout: Callable[[Path], None]) -> None:
    layout(tmp_path / "set")
    found = kit.classes_at(tmp_path / "set")
    items = kit.items(found)
    assert [item.image for item in items] == kit.IMAGES
    if found.classnames:  # numbers, whose names the set knows
        assert found.classnames == tuple(f"a {name}" for name in kit.CLASSES)
        assert found.labels == ("0", "1", "2")
        assert found.templates == ("a photo of a {}.", "the {}.")
        assert [kit.CLASSES[int(item.label)] for item in items] == kit.LABELS
    else:
        assert found.labels == kit.CLASSES
        assert [item.label for item in items] == kit.LABELS
    assert {item.texts for item in items} == {()}
    check_set(found)
    assert found.images == (None if layout in kit.UNCOUNTED else kit.COUNT)
    assert find_kind(tmp_path / "set") is Kind.CLASSES
    same = open_set(tmp_path / "set", Kind.SAME_CLASS, kit.ANY[Kind.SAME_CLASS])
    assert kit.read(same) == items
    check_wrong_kind(tmp_path / "set", Kind.RETRIEVAL)


@pytest.mark.parametrize("layout", kit.CAPTION_LAYOUTS, ids=lambda layout: layout.__name__)
def test_captions(tmp_path: Path, layout: Callable[[Path], None]) -> None:
    layout(tmp_path / "set")
    found = kit.captions_at(tmp_path / "set")
    items = kit.items(found)
    assert [item.image for item in items] == kit.IMAGES
    assert [list(item.texts) for item in items] == kit.TEXTS
    assert {(item.label, item.sources) for item in items} == {("", ())}
    assert (found.labels, found.classnames, found.templates) == ((), (), ())
    check_set(found)
    assert found.images == (None if layout in kit.UNCOUNTED else kit.COUNT)
    assert find_kind(tmp_path / "set") is Kind.RETRIEVAL
    check_wrong_kind(tmp_path / "set", Kind.CLASSES)


def check_set(found: ImageSet) -> None:
    """What holds for every set: units partition it and can be read alone, keys tell images apart."""
    items = kit.items(found)
    assert len({item.key for item in items}) == kit.COUNT
    units = found.units()
    assert len(units) > 1
    assert len({unit.name for unit in units}) == len(units)
    assert [unit.name for unit in found.units()] == [unit.name for unit in units]
    backwards = [list(found.read(unit)) for unit in reversed(units)]
    assert [item for part in reversed(backwards) for item in part] == items
    assert all(backwards)
    assert max(map(len, backwards)) <= 256
    some = [items[number] for number in (0, 17, kit.COUNT - 1)]
    assert found.pictures([item.key for item in some]) == {item.key: item.image for item in some}
    assert pickle.loads(pickle.dumps(units)) == units


def check_wrong_kind(path: Path, kind: Kind) -> None:
    with pytest.raises(kit.UserError) as caught:
        open_set(path, kind, Task("birds", "Birds", kind))
    assert "class" in str(caught.value) or "caption" in str(caught.value)
    assert str(path) in str(caught.value)
