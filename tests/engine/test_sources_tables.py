"""Folders of images with tables: every row of every image, in order, with the text that stands there."""

from __future__ import annotations

import csv
import json
import pickle
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sources_kit import JPEG, codes, everything, read_all, shared_data, texts

from engine.errors import UserError
from engine.records import Record
from engine.sources import SourceOptions, open_source
from engine.sources.coco_rows import load_rows

LINE = st.text(st.characters(exclude_characters="\0\r", codec="utf-8"), max_size=30)


def folder_with_images(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(JPEG + name.encode())
    return folder


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abc"), LINE), min_size=1, max_size=12), st.integers(1, 3))
def test_csv_rows_of_an_image_meet_wherever_they_stand(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]], rows_per_unit: int
) -> None:
    folder = folder_with_images(tmp_path_factory.mktemp("csv"), "a.jpg", "b.jpg", "c.jpg")
    with (folder / "t.csv").open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows(
            [("image", "caption"), *((f"{image}.jpg", text) for image, text in rows)]
        )
    expected: dict[str, list[str]] = {}
    for image, text in rows:
        expected.setdefault(f"{image}.jpg", []).extend([text.strip()] if text.strip() else [])
    found = read_all(folder, rows_per_unit=rows_per_unit)
    assert len(found) == len(expected)
    for sample, (image, captions) in zip(found, expected.items(), strict=True):
        assert sample.key == image
        assert (texts(sample) if isinstance(sample, Record) else []) == captions


def test_tsv_quotation_marks_are_text(tmp_path: Path) -> None:
    folder_with_images(tmp_path, "images/a.jpg", "images/b.jpg")
    (tmp_path / "t.tsv").write_text('filepath\ttitle\na.jpg\t"Hello" he said\nb.jpg\t"open\n')
    assert [texts(sample) for sample in read_all(tmp_path)] == [['"Hello" he said'], ['"open']]


def test_json_lines_with_lists_and_own_sources(tmp_path: Path) -> None:
    folder_with_images(tmp_path, "a.jpg")
    row = {"file_name": "a.jpg", "alt": "alt", "vecap": ["v0", "v1"], "rewrite/short": "r", "caption": "no"}
    (tmp_path / "metadata.jsonl").write_text(json.dumps(row) + "\n\nnot json\n[1]\n")
    first, *others = read_all(tmp_path)
    assert isinstance(first, Record)
    assert {name: texts(first, name) for name in first.captions} == {
        "alttext": ["alt"], "vecap": ["v0", "v1"], "rewrite/short": ["r"],
    }  # fmt: skip
    assert codes(others) == ["bad_row", "bad_row"]


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.binary(max_size=40) | st.sampled_from([b'{"image": "a.jpg", "alt": [[1]]}', b'{"image": [1]}']),
        max_size=8,
    )
)
def test_hostile_lines_are_records_or_rejects(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes]
) -> None:
    folder = folder_with_images(tmp_path_factory.mktemp("hostile"), "a.jpg")
    (folder / "keys").write_text("a.jpg")
    first = b'{"image": "a.jpg", "alt": "x"}\n'
    for name, data in (
        ("t.jsonl", first),
        ("t.csv", b"image,alt\na.jpg,x\n"),
        ("t.tsv", b"image\talt\na.jpg\tx\n"),
    ):
        (folder / name).write_bytes(data + b"\n".join(lines))
        found = read_all(folder / name)
        assert found[0].key == "a.jpg"
        read_all(folder / name, only_keys=str(folder / "keys"))


def test_paths_that_leave_the_folder(tmp_path: Path) -> None:
    root = folder_with_images(tmp_path / "d", "a.jpg", "../outside.jpg")
    (root / "link.jpg").symlink_to(tmp_path / "outside.jpg")
    names = [
        "a.jpg",
        "../outside.jpg",
        str(tmp_path / "outside.jpg"),
        "link.jpg",
        "gone.jpg",
        "http://x/a.jpg",
        "",
    ]
    (root / "t.tsv").write_text(
        "".join(f"{name}\tx\n" for name in ["image\tcaption", *names]).replace("n\tx", "n", 1)
    )
    assert codes(read_all(root / "t.tsv")) == [
        "record", "unsafe_path", "unsafe_path", "unsafe_path", "image_missing", "unsafe_path", "no_image",
    ]  # fmt: skip


def test_flickr_token_files_and_caption_lists(tmp_path: Path) -> None:
    folder_with_images(tmp_path, "images/1.jpg", "images/2.jpg")
    (tmp_path / "results.token").write_text("1.jpg#1\tone\n1.jpg#0\tzero\n2.jpg#0\ta|b\n")
    captions = {"first": "caption[0]", "rest": "caption[1:]"}
    one, two = read_all(tmp_path / "results.token", captions=captions)
    assert (texts(one, "first"), texts(one, "rest")) == (["zero"], ["one"])
    assert (texts(two, "first"), texts(two, "rest")) == (["a|b"], [])
    (tmp_path / "captions.txt").write_text("1.jpg|startseq a pen endseq|startseq\n2.jpg|b\n")
    assert [texts(sample) for sample in read_all(tmp_path / "captions.txt")] == [["a pen", "startseq"], ["b"]]
    (tmp_path / "results.csv").write_text(
        "image_name| comment_number| comment\n1.jpg| 0|  Two, dogs .\n2.jpg| 4 A dog\n"
    )
    assert codes(read_all(tmp_path / "results.csv")) == ["record", "no_caption"]


def test_coco_and_karpathy(tmp_path: Path) -> None:
    folder_with_images(tmp_path, "val/1.jpg", "val/2.jpg")
    document = {
        "images": [{"id": 7, "file_name": "1.jpg"}, {"id": 8, "file_name": "2.jpg"}, 3],
        "annotations": [{"image_id": 7, "caption": "a"}, {"image_id": 8}, {"image_id": 7, "caption": "b"}],
    }
    (tmp_path / "captions_val.json").write_text(json.dumps(document))
    found = read_all(tmp_path)
    assert texts(found[0]) == ["a", "b"]
    assert codes(found) == ["record", "caption_not_text", "bad_row"]
    load_rows.cache_clear()
    karpathy = {
        "images": [{"filepath": "val", "filename": "1.jpg", "sentences": [{"raw": "x"}, {"raw": "y"}]}]
    }
    (tmp_path / "captions_val.json").write_text(json.dumps(karpathy))
    assert [texts(sample) for sample in read_all(tmp_path)] == [["x", "y"]]


def test_parquet_tables_of_paths(tmp_path: Path) -> None:
    folder_with_images(tmp_path, *(f"{n}.jpg" for n in range(5)))
    names = [f"{n % 5}.jpg" for n in range(10)]
    table = pa.table({"image": names, "text": [f"c{n}" for n in range(10)], "unused": list(range(10))})
    pq.write_table(table, tmp_path / "t.parquet", row_group_size=3)
    assert [texts(sample) for sample in read_all(tmp_path, rows_per_unit=2)] == [
        [f"c{n}", f"c{n + 5}"] for n in range(5)
    ]


def test_only_keys_and_units_survive_pickling() -> None:
    folder = shared_data("flickr8k")
    options = SourceOptions(
        (str(folder),), captions={"first": "caption[0]", "rest": "caption[1:]"}, rows_per_unit=3000,
        only_keys=str(folder / "Flickr_8k.testImages.txt"),
    )  # fmt: skip
    source = open_source(options)
    again = pickle.loads(pickle.dumps(source))
    found = everything(again)
    assert len(found) == 1000
    assert all(len(texts(sample, "rest")) == 4 for sample in found)
    expected: dict[str, list[str]] = {}
    for line in sorted((folder / "Flickr8k.token.txt").read_text().splitlines()):
        name, caption = line.split("\t")
        expected.setdefault(name.split("#")[0], []).append(caption.strip())
    assert all(texts(s, "first") + texts(s, "rest") == expected[s.key] for s in found)


@pytest.mark.parametrize(
    ("name", "count", "captions"),
    [("coco", 60, 5), ("openstax", 120, 1), ("emoji_captions", 30, 2), ("cc_web", 700, 1), ("cc12m", 32, 1)],
)
def test_real_folders_are_recognised(name: str, count: int, captions: int) -> None:
    found = read_all(shared_data(name))
    assert codes(found) == ["record"] * count
    assert {len(texts(sample)) for sample in found} == {captions}


@pytest.mark.parametrize(
    ("files", "options", "message"),
    [
        ({"a.xyz": "x"}, {}, "no known format; found 1 entries .a.xyz.; expected webdataset"),
        ({}, {}, "found nothing"),
        ({"a.csv": "x,text\n1,2\n"}, {}, "no image column among x, text; name it with --image-column"),
        (
            {"a.csv": "image,y\n1,2\n"},
            {"captions": {"vec": "z"}},
            "vec=z: no such column; the columns are image, y",
        ),
        ({"a.csv": "image,caption\n1,2\n"}, {}, "first image '1' is neither in"),
        (
            {"a.csv": "image,caption\n1,2\n"},
            {"format": "csv"},
            "format 'csv': unknown; expected one of auto, webd",
        ),
        ({"a.csv": "image,caption\n1,2\n"}, {"format": "parquet"}, "not recognised as parquet"),
        ({"a.csv": "image,c\n", "b.csv": "image,c\n"}, {}, "several tables; give one of"),
        ({"a.jsonl": "[]\n"}, {}, "no JSON object"),
    ],
)
def test_errors_say_what_was_found(
    tmp_path: Path, files: dict[str, str], options: dict[str, object], message: str
) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=message):
        read_all(tmp_path, **options)
