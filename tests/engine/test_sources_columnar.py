"""Parquet and arrow files with image bytes, and img2dataset's layouts."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sources_kit import JPEG, codes, pairs, read_all, tar_bytes, texts

from engine.errors import UserError
from engine.sources import SourceOptions, open_source


def image_table(count: int) -> pa.Table:
    images = [{"bytes": JPEG + b"%d" % n, "path": f"{n}.jpg"} for n in range(count)]
    return pa.table({"image": images, "caption": [[f"a{n}", f"b{n}"] for n in range(count)]})


@pytest.mark.parametrize("rows_per_unit", [1, 5, 1000])
def test_parquet_in_row_group_ranges(tmp_path: Path, rows_per_unit: int) -> None:
    (tmp_path / "data").mkdir()
    for part in range(2):
        pq.write_table(image_table(10), tmp_path / "data" / f"train-{part}.parquet", row_group_size=3)
    found = read_all(tmp_path, rows_per_unit=rows_per_unit)
    assert [sample.key for sample in found] == [f"train-{p}.parquet#{n}" for p in range(2) for n in range(10)]
    assert [texts(sample) for sample in found] == [[f"a{n}", f"b{n}"] for n in range(10)] * 2


def test_a_damaged_row_group_costs_its_own_rows(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(image_table(9), path, row_group_size=3, compression="snappy", use_dictionary=False)
    column = pq.ParquetFile(path).metadata.row_group(1).column(0)
    data = bytearray(path.read_bytes())
    data[column.data_page_offset : column.data_page_offset + column.total_compressed_size] = (
        b"\xff" * column.total_compressed_size
    )
    path.write_bytes(bytes(data))
    assert codes(read_all(tmp_path)) == ["record"] * 3 + ["unreadable"] * 3 + ["record"] * 3


def test_img2dataset_parquet_with_failed_downloads(tmp_path: Path) -> None:
    rows = {
        "key": ["000", "001", "002"], "jpg": [JPEG, None, None], "caption": ["a", "b", "c"],
        "status": ["success", "failed_to_download", "success"], "error_message": [None, "404", None],
    }  # fmt: skip
    pq.write_table(pa.table(rows), tmp_path / "00000.parquet")
    (tmp_path / "00000_stats.json").write_text("{}")
    found = read_all(tmp_path, format="img2dataset")
    assert [sample.key for sample in found] == ["000", "001", "002"]
    assert codes(found) == ["record", "not_downloaded", "no_image"]


def test_img2dataset_webdataset_and_files(tmp_path: Path) -> None:
    metadata = pa.table({"key": ["1"], "caption": ["x"], "status": ["success"]})
    tars, files = tmp_path / "tars", tmp_path / "files"
    (files / "00000").mkdir(parents=True)
    tars.mkdir()
    for folder in (tars, files):
        pq.write_table(metadata, folder / "00000.parquet")
        (folder / "00000_stats.json").write_text("{}")
    (tars / "00000.tar").write_bytes(tar_bytes(pairs(3)))
    for name, data in [*pairs(3), ("x.txt", b"alone"), ("y.jpg", JPEG), ("y.png", JPEG), ("z.jpg", b"")]:
        (files / "00000" / name).write_bytes(data)
    assert codes(read_all(tars)) == ["record"] * 3
    found = read_all(files)
    assert codes(found) == ["record"] * 3 + ["no_image", "duplicate_field", "no_image"]
    assert [(s.key, texts(s)) for s in found[:3]] == [(s.key, texts(s)) for s in read_all(tars)]


def test_a_saved_hugging_face_data_set(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    images = [{"bytes": JPEG + b"%d" % n, "path": None} for n in range(70)]
    features = datasets.Features({"image": datasets.Image(decode=False), "text": datasets.Value("string")})
    rows = {"image": images, "text": [f"t{n}" for n in range(70)]}
    data = datasets.Dataset.from_dict(rows, features=features)
    data.save_to_disk(str(tmp_path / "plain"), num_shards=2)
    found = read_all(tmp_path / "plain")
    assert [texts(sample) for sample in found] == [[f"t{n}"] for n in range(70)]
    assert open_source(SourceOptions((str(tmp_path / "plain"),))).format == "huggingface"
    datasets.DatasetDict({"train": data, "test": data}).save_to_disk(str(tmp_path / "dict"))
    with pytest.raises(UserError, match="several splits; give one of"):
        read_all(tmp_path / "dict")
    (arrow, *_) = sorted((tmp_path / "plain").glob("*.arrow"))
    arrow.write_bytes(arrow.read_bytes()[:1500])
    assert "unreadable" in codes(read_all(tmp_path / "plain"))


def test_text_columns_with_other_bytes(tmp_path: Path) -> None:
    def text(*values: bytes) -> pa.Array:
        raw = pa.array(values, pa.binary())
        return pa.StringArray.from_buffers(len(raw), raw.buffers()[1], raw.buffers()[2])

    lists = pa.ListArray.from_arrays([0, 2, 3, 4], text(b"a", b"\xff", b"b", b"\xfe"))
    table = pa.table({"jpg": [JPEG] * 3, "key": text(b"1", b"\xff", b"3"), "caption": lists})
    pq.write_table(table, tmp_path / "a.parquet")
    found = read_all(tmp_path)
    assert codes(found) == ["record", "bad_key", "caption_not_utf8"]
    assert texts(found[0]) == ["a"]


def test_units_with_missing_columns_are_an_error(tmp_path: Path) -> None:
    pq.write_table(image_table(1), tmp_path / "a.parquet")
    pq.write_table(image_table(1).rename_columns(["image", "text"]), tmp_path / "b.parquet")
    with pytest.raises(UserError, match=r"b\.parquet: no column caption, which .*a\.parquet has"):
        read_all(tmp_path)
    (tmp_path / "b.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(UserError, match="not readable as parquet"):
        read_all(tmp_path)
