"""What cannot be read is a reject in its place; nothing is left out in silence or hangs."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from engine.errors import UserError
from engine.records import REJECT_CODES, Reject
from engine.records.text import MAX_CAPTION_CHARS
from tests.engine.sources_kit import tar_bytes
from tests.train.sets import kit
from train.evaluate.sets.base import ImageSet, Item


def codes(found: ImageSet) -> list[str]:
    """A label or the first caption of each image, or the code of its reject."""
    results = kit.read(found)
    assert {result.code for result in results if isinstance(result, Reject)} <= REJECT_CODES.keys()
    return [
        result.code if isinstance(result, Reject) else result.label or result.texts[0] for result in results
    ]


def tar_of(path: Path, *members: tuple[str, bytes]) -> Path:
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_bytes(tar_bytes(members))
    return path


def test_bad_labels_in_tars(tmp_path: Path) -> None:
    values = [b"0", b"1\n", b"2", b"-1", b"x", None, b"1"]
    members = []
    for number, value in enumerate(values):
        members.append((f"s{number}.jpg", kit.IMAGES[number]))
        members += [] if value is None else [(f"s{number}.cls", value)]
    tar_of(tmp_path / "test" / "0.tar", *members, ("s9.cls", b"1"))
    plain = ["0", "1", "2", "-1", "x", "bad_label", "1", "no_image"]
    assert codes(kit.classes_at(tmp_path)) == plain
    (tmp_path / "classnames.txt").write_text("a\nb\n")
    named = ["0", "1", "bad_label", "bad_label", "bad_label", "bad_label", "1", "no_image"]
    assert codes(kit.classes_at(tmp_path)) == named


def test_hostile_tars(tmp_path: Path) -> None:
    link = tarfile.TarInfo("b.jpg")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    members = [
        ("b.txt", b"b"), ("../c.jpg", kit.IMAGES[0]), ("../c.txt", b"c"),
        ("d.jpg", kit.IMAGES[1]), ("d.txt", b"d\n\0\n"),
    ]  # fmt: skip
    path = tmp_path / "0.tar"
    path.write_bytes(link.tobuf() + tar_bytes(members))
    assert codes(kit.captions_at(path)) == ["not_a_file", "unsafe_path", "caption_nul"]


@pytest.mark.parametrize("cut", [0.3, 0.7, 0.95])
def test_a_tar_that_breaks_off(tmp_path: Path, cut: float) -> None:
    members = [
        (f"{n:03}.{kind}", data) for n in range(300) for kind, data in (("jpg", kit.IMAGES[n]), ("txt", b"t"))
    ]
    path = tar_of(tmp_path / "0.tar", *members)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * cut)])
    found = kit.captions_at(path)
    *whole, last = kit.read(found)
    assert isinstance(last, Reject)
    assert last.code == "tar_truncated"
    assert [item.image for item in whole if isinstance(item, Item)] == kit.IMAGES[: len(whole)]
    assert len(whole) > 300 * cut * 0.8


def test_captions_that_cannot_be_used(tmp_path: Path) -> None:
    """An image that lacks one of its captions would be measured by another protocol."""
    lists = [["a", "b"], ["a", ""], ["a", None], ["a", "b\0"], [], None, ["x" * (MAX_CAPTION_CHARS + 9), "b"]]
    image = [{"bytes": kit.IMAGES[n], "path": None} for n in range(len(lists))]
    pq.write_table(pa.table({"image": image, "caption": lists}), tmp_path / "test.parquet")
    found = codes(kit.captions_at(tmp_path))
    expected = ["a", "caption_empty", "caption_not_text", "caption_nul", "no_caption", "no_caption"]
    assert found == [*expected, "x" * MAX_CAPTION_CHARS]


def test_rows_of_parquet_that_cannot_be_used(tmp_path: Path) -> None:
    images = [kit.IMAGES[0], None, b"", kit.IMAGES[3]]
    table = pa.table(
        {"image": [{"bytes": image, "path": "x"} for image in images], "label": [1.5, 0, 1, None]}
    )
    pq.write_table(table, tmp_path / "test.parquet")
    assert codes(kit.classes_at(tmp_path)) == ["bad_label", "no_image", "no_image", "bad_label"]


def test_images_of_a_table_that_are_not_there(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "1.jpg").write_bytes(kit.IMAGES[0])
    (tmp_path / "outside.jpg").write_bytes(kit.IMAGES[1])
    os.mkfifo(tmp_path / "in" / "pipe.jpg")
    names = ["gone.jpg", "1.jpg", "../outside.jpg", "/etc/passwd", "pipe.jpg"]
    (tmp_path / "in" / "t.csv").write_text("image,caption\n" + "".join(f"{name},a\n" for name in names))
    expected = ["image_missing", "a", "unsafe_path", "unsafe_path", "image_missing"]
    assert codes(kit.captions_at(tmp_path / "in" / "t.csv")) == expected


def test_a_row_without_its_caption(tmp_path: Path) -> None:
    """Kaggle's results.csv of Flickr30k has one: `2199200615.jpg| 4   A dog runs across the grass .`"""
    lines = ["image_name| comment_number| comment"]
    lines += [f"{name}.jpg| {way}| {name}{way}" for name in "ab" for way in range(5)]
    lines[5] = "a.jpg| 4   a4"
    (tmp_path / "results.csv").write_text("\n".join(lines))
    for name in "ab":
        (tmp_path / f"{name}.jpg").write_bytes(kit.IMAGES[0])
    assert codes(kit.captions_at(tmp_path)) == ["bad_row", "b0"]


def test_images_of_classes_that_are_not_there(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.jpg").write_bytes(kit.IMAGES[0])
    (tmp_path / "a" / "2.jpg").symlink_to(tmp_path / "gone")
    os.mkfifo(tmp_path / "a" / "3.jpg")
    (tmp_path / "b" / "2.jpg").symlink_to(tmp_path / "a" / "1.jpg")  # ImageNet sorted by links
    assert codes(kit.classes_at(tmp_path)) == ["a", "image_missing", "image_missing", "b", "b"]


@pytest.mark.parametrize(("text", "message"), [
    ("image,label\na.jpg\n", "line 2: no label"), ("image,label\n,x\n", "line 2: no image"),
    ("image,label\n\xff,x\n", "cannot be read as a table"),
])  # fmt: skip
def test_tables_of_labels_with_holes(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "t.csv").write_bytes(text.encode("latin-1"))
    with pytest.raises(UserError, match=message):
        kit.classes_at(tmp_path / "t.csv")


def test_images_beside_captions_that_lack_one(tmp_path: Path) -> None:
    for name in ("a.jpg", "a.txt", "b.jpg", "c.txt"):
        (tmp_path / name).write_bytes(kit.IMAGES[0] if name.endswith("jpg") else b"one\ntwo\n")
    assert codes(kit.captions_at(tmp_path)) == ["one", "no_caption", "no_image"]
