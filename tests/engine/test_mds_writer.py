"""Shards and index equal MosaicML's MDSWriter byte for byte."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import UserError
from engine.native import NativeError, Status
from engine.shards.encodings import SCALARS, encode_column, encode_value
from engine.shards.entries import ShardEntry
from engine.shards.index import write_index
from engine.shards.mds_writer import MdsWriter

streaming = pytest.importorskip("streaming", reason="the outside reference; installed by the [train] extra")

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


def _arrays(dtype: str, shape: tuple[int, ...] | None = None) -> st.SearchStrategy[np.ndarray[Any, Any]]:
    shapes = (
        st.just(shape)
        if shape
        else st.lists(st.sampled_from([1, 2, 5, 300]), min_size=1, max_size=2).map(tuple)
    )
    return shapes.map(lambda dims: (np.arange(np.prod(dims)) % 100).astype(dtype).reshape(dims))


def _scalars(name: str) -> st.SearchStrategy[Any]:
    if name.startswith("float"):
        return st.floats(-6e4, 6e4) | st.sampled_from([float("inf"), 1e-300])
    info = np.iinfo(name)
    return st.integers(int(info.min), int(info.max))


VALUES: dict[str, st.SearchStrategy[Any]] = {
    "bytes": st.binary(max_size=40),
    "jpeg": st.binary(max_size=40),
    "str": st.text(max_size=20),
    "int": st.integers(-(1 << 63), (1 << 63) - 1),
    "json": JSON_VALUES,
    "ndarray": st.sampled_from(["int8", "float16", "float64"]).flatmap(_arrays),
    "ndarray:uint16": _arrays("uint16"),
    "ndarray:int32:77": _arrays("int32", (77,)),
    "ndarray:float32:2,3": _arrays("float32", (2, 3)),
    **{name: _scalars(name) for name in SCALARS},
}
COLUMN_NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=5)


@st.composite
def datasets(draw: st.DrawFn) -> tuple[dict[str, str], list[dict[str, Any]]]:
    columns = draw(st.dictionaries(COLUMN_NAMES, st.sampled_from(sorted(VALUES)), min_size=1, max_size=4))
    one = st.fixed_dictionaries({name: VALUES[how] for name, how in columns.items()})
    return columns, draw(st.lists(one, max_size=12))


@pytest.fixture(scope="module")
def fresh() -> Iterator[Callable[[], Path]]:
    """Makes new folders, in memory where there is such a place: fsync costs nothing there."""
    memory = Path("/dev/shm")
    root = Path(tempfile.mkdtemp(dir=memory if memory.is_dir() else None))
    yield lambda: Path(tempfile.mkdtemp(dir=root))
    shutil.rmtree(root)


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def ours(
    folder: Path, columns: dict[str, str], samples: list[dict[str, Any]], **options: Any
) -> list[ShardEntry]:
    writer = MdsWriter(folder, columns, **options)
    for sample in samples:
        writer.write(sample)
    entries = writer.finish()
    write_index(folder, entries)
    return entries


def theirs(folder: Path, columns: dict[str, str], samples: list[dict[str, Any]], **options: Any) -> None:
    with streaming.MDSWriter(out=str(folder), columns=columns, **options) as writer:
        for sample in samples:
            writer.write(sample)


@settings(max_examples=60, deadline=None)
@given(
    dataset=datasets(),
    size_limit=st.none() | st.integers(1, 2000),
    hashes=st.sets(
        st.sampled_from(["md5", "sha1", "sha256", "xxh32", "xxh64", "xxh128", "xxh3_64"]), max_size=3
    ),
)
def test_files_equal_mdswriters(
    fresh: Callable[[], Path],
    dataset: tuple[dict[str, str], list[dict[str, Any]]],
    size_limit: int | None,
    hashes: set[str],
) -> None:
    options: dict[str, Any] = {"size_limit": size_limit, "hashes": sorted(hashes)}
    a, b = fresh(), fresh()
    ours(a, *dataset, **options)
    theirs(b, *dataset, **options)
    assert files_of(a) == files_of(b)


@settings(max_examples=30, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 300), min_size=1, max_size=40),
    cuts=st.lists(st.integers(1, 10), min_size=1, max_size=5),
    size_limit=st.integers(1, 1500),
)
def test_batches_of_any_length_make_the_same_shards(
    fresh: Callable[[], Path], sizes: list[int], cuts: list[int], size_limit: int
) -> None:
    columns = {"image": "bytes", "n": "int16"}
    samples: list[dict[str, Any]] = [{"image": b"i" * size, "n": size} for size in sizes]
    a, b = fresh(), fresh()
    ours(a, columns, samples, size_limit=size_limit)
    writer, at = MdsWriter(b, columns, size_limit=size_limit), 0
    while at < len(samples):
        step = cuts[at % len(cuts)]
        part = samples[at : at + step]
        writer.write_batch(
            {"n": encode_column("int16", [s["n"] for s in part]), "image": [s["image"] for s in part]}
        )
        at += step
    write_index(b, writer.finish())
    assert files_of(a) == files_of(b)


def test_an_oversize_first_sample_leaves_an_empty_shard_as_mdswriter_does(fresh: Callable[[], Path]) -> None:
    samples = [{"a": b"x" * 500}, {"a": b"y" * 500}, {"a": b"z"}]
    a, b = fresh(), fresh()
    entries = ours(a, {"a": "bytes"}, samples, size_limit=300, hashes=["xxh64"])
    theirs(b, {"a": "bytes"}, samples, size_limit=300, hashes=["xxh64"])
    assert [entry.samples for entry in entries] == [0, 1, 1, 1]
    assert files_of(a) == files_of(b)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"columns": {}}, "columns"),
        ({"columns": {"a": "pkl"}}, "runs code"),
        ({"columns": {"a": "pil"}}, "unknown"),
        ({"columns": {"a": "ndarray:bool"}}, "unknown"),
        ({"columns": {"a": "ndarray:uint8:0"}}, "unknown"),
        ({"size_limit": 0}, "size_limit"),
        ({"size_limit": 1 << 32}, "size_limit"),
        ({"hashes": ["xxh64", "sha1"]}, "sorted"),
        ({"compression": "gz"}, "zstd"),
        ({"compression": "zstd:23"}, "zstd"),
    ],
)
def test_options_that_are_refused(tmp_path: Path, options: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        MdsWriter(tmp_path / "new", **{"columns": {"a": "bytes"}, **options})
    assert not (tmp_path / "new").exists()


def test_a_bad_batch_changes_nothing(tmp_path: Path) -> None:
    writer = MdsWriter(tmp_path, {"a": "bytes", "n": "int16"})
    for bad in ([b"12", b"1"], [b"12"]):
        with pytest.raises(NativeError) as error:
            writer.write_batch({"a": [b"x", b"y"], "n": bad})
        assert error.value.status == Status.BAD_ARGUMENT
    with pytest.raises(UserError, match="expected"):
        writer.write_batch({"a": [b"x"]})
    assert writer.finish() == []
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("how", "value"),
    [
        ("str", 1),
        ("bytes", "text"),
        ("int", 1.5),
        ("uint8", 256),
        ("int16", np.int64(1 << 20)),
        ("uint8", [1, 2]),
        ("ndarray:uint16", np.zeros(3, np.int32)),
        ("ndarray", np.zeros(0)),
        ("ndarray", np.array(1.0)),
        ("ndarray", np.zeros(3, ">i4")),
        ("ndarray:uint8:3", np.zeros(4, np.uint8)),
        ("ndarray", [1, 2]),
    ],
)
def test_values_that_an_encoding_does_not_take(how: str, value: Any) -> None:
    with pytest.raises((TypeError, ValueError, OverflowError)):
        encode_value(how, value)


def test_a_finished_dataset_is_not_written_over(tmp_path: Path) -> None:
    ours(tmp_path, {"a": "bytes"}, [{"a": b"x"}])
    with pytest.raises(UserError, match="finished dataset"):
        MdsWriter(tmp_path, {"a": "bytes"})
