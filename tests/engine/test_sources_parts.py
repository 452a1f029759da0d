"""Units smaller than a file: for any size they give the same samples and rejects as the file as a whole."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sources_kit import JPEG, everything, pairs, tar_bytes

from engine.sources import SourceOptions
from engine.sources.assemble import Assembler
from engine.sources.columnar import ArrowSource, Columns
from engine.sources.files import FilesSource
from engine.sources.webdataset import WebDatasetSource

ASSEMBLER = Assembler(SourceOptions(()), {"alttext": "txt"}, None)
ODD = [
    ("long/" + "n" * 150 + ".jpg", JPEG), ("long/" + "n" * 150 + ".txt", b"headers of their own"),
    ("__meta__/x.json", b"{}"), ("noext", b"x"), ("no_image.txt", b"x"),
    ("../up.jpg", JPEG), ("../up.txt", b"x"),
]  # fmt: skip
MEMBERS = [*pairs(4), *ODD, *((f"later{name}", data) for name, data in pairs(4))]


@pytest.mark.parametrize("format", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
def test_tars(tmp_path: Path, format: int, size: int) -> None:
    path = tmp_path / "0.tar"
    path.write_bytes(tar_bytes(MEMBERS, format))
    whole = everything(WebDatasetSource([str(path)], ASSEMBLER))
    parts = WebDatasetSource([str(path)], ASSEMBLER, size)
    assert everything(parts) == whole
    assert len(whole) == 11
    assert len(parts.units()) == -(-11 // size)
    assert all(len(list(parts.read(unit))) <= size for unit in parts.units())


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(size=st.integers(1, 12), data=st.data())
def test_tars_that_are_damaged(tmp_path: Path, size: int, data: st.DataObject) -> None:
    path = tmp_path / "0.tar"
    content = bytearray(tar_bytes(MEMBERS))
    if data.draw(st.booleans()):
        del content[data.draw(st.integers(0, len(content))) :]
    for _ in range(data.draw(st.integers(0, 3))):
        if content:
            content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(bytes(content))
    whole = everything(WebDatasetSource([str(path)], ASSEMBLER))
    assert everything(WebDatasetSource([str(path)], ASSEMBLER, size)) == whole


def test_packed_tars_are_one_unit(tmp_path: Path) -> None:
    import gzip

    path = tmp_path / "0.tar.gz"
    path.write_bytes(gzip.compress(tar_bytes(pairs(5))))
    parts = WebDatasetSource([str(path)], ASSEMBLER, 2)
    assert len(parts.units()) == 1
    assert len(everything(parts)) == 5


@pytest.mark.parametrize("size", [1, 3, 100])
def test_files(tmp_path: Path, size: int) -> None:
    for name, content in [*pairs(7), ("alone.jpg", JPEG)]:
        (tmp_path / name).write_bytes(content)
    whole = everything(FilesSource([str(tmp_path)], ASSEMBLER))
    parts = FilesSource([str(tmp_path)], ASSEMBLER, size)
    assert everything(parts) == whole
    assert len(parts.units()) == -(-8 // size)


@pytest.mark.parametrize("size", [1, 5, 9, 100])
@pytest.mark.parametrize("cut", [None, 0.95, 0.5])
def test_arrow(tmp_path: Path, size: int, cut: float | None) -> None:
    path = tmp_path / "0.arrow"
    table = pa.table({"jpg": [JPEG] * 20, "txt": [f"t{n}" for n in range(20)]})
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, table.schema) as writer:
        writer.write_table(table, max_chunksize=4)
    if cut is not None:
        path.write_bytes(path.read_bytes()[: int(path.stat().st_size * cut)])
    columns = Columns("jpg", None, ("jpg", "txt"))
    whole = everything(ArrowSource([str(path)], columns, ASSEMBLER))
    parts = ArrowSource([str(path)], columns, ASSEMBLER, size)
    assert everything(parts) == whole
    assert cut or len(parts.units()) == {1: 5, 5: 5, 9: 3, 100: 1}[size]
