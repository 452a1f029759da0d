"""Views of a column: its own memory, read-only, alive as long as one of them is."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path

import numpy as np
import pytest

from engine.native import ColumnView, MdsShard, gather
from engine.shards.mds_writer import MdsWriter

VALUES = [b"first", b"", bytes(range(256)) * 40, b"\0"]


def address(view: np.ndarray) -> int:
    return int(view.__array_interface__["data"][0])


@pytest.fixture
def shard(tmp_path: Path) -> Path:
    """VALUES as the only column of one shard file."""
    writer = MdsWriter(tmp_path, {"image": "bytes"})
    for value in VALUES:
        writer.write({"image": value})
    writer.finish()
    return tmp_path / "shard.00000.mds"


def column(path: Path, index: list[int]) -> ColumnView:
    shard = MdsShard(path, ["image"], [None])
    return gather([shard], np.zeros(len(index), np.int32), np.array(index, np.int32)).column("image")


def test_they_are_the_bytes_of_the_items(shard: Path) -> None:
    for items in (ColumnView(VALUES), column(shard, [0, 1, 2, 3])):
        views = items.views()
        assert [view.tobytes() for view in views] == VALUES
        assert all(view.dtype == np.uint8 and view.ndim == 1 for view in views)


def test_nothing_is_copied(shard: Path) -> None:
    held = np.arange(100, dtype=np.uint8)
    assert address(ColumnView([held]).views()[0]) == address(held)
    mapped = column(shard, [2, 0, 2])
    first, again = mapped.views(), mapped.views()
    assert [address(view) for view in first] == [address(view) for view in again]
    assert address(first[0]) == address(first[2])  # the same sample


def test_they_are_read_only(shard: Path) -> None:
    for view in ColumnView([bytearray(b"abc"), b""]).views() + column(shard, [0, 1]).views():
        assert not view.flags.writeable
        with pytest.raises(ValueError, match="WRITEABLE"):
            view.flags.writeable = True


def test_a_shard_stays_mapped_as_long_as_one_view_lives(shard: Path) -> None:
    view = column(shard, [0, 2]).views()[1]
    shard.unlink()
    gc.collect()
    assert str(shard) in Path("/proc/self/maps").read_text()
    assert view.tobytes() == VALUES[2]
    part = view[10:20]
    del view
    gc.collect()
    assert part.tobytes() == VALUES[2][10:20]
    del part
    gc.collect()
    assert str(shard) not in Path("/proc/self/maps").read_text()


def test_buffers_are_held_as_long_as_one_view_lives() -> None:
    class Held(np.ndarray):  # plain arrays take no weak reference to what is handed over
        pass

    array = np.arange(50, dtype=np.uint8).view(Held)
    alive = weakref.ref(array)
    views = ColumnView([array, b"other"]).views()
    del array
    kept = views[1]
    del views
    gc.collect()
    assert alive() is not None  # the items of a view stay together
    del kept
    gc.collect()
    assert alive() is None


def test_no_items_no_views() -> None:
    assert ColumnView([]).views() == []
