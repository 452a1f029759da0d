"""What of a set is taken, in which order, and how a set that is not whole is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.datasets import load_files

from engine.errors import UserError
from engine.shard import main as shard
from tests.train.sets import kit
from train.evaluate.sets import find_kind, open_set
from train.evaluate.tasks import ClassName, Kind, Task


def write(folder: Path, *names: str) -> Path:
    """Images under these names, the first the kit's first, and so on."""
    for image, name in zip(kit.IMAGES, names, strict=False):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(image)
    return folder


def same_class_at(path: Path) -> list[tuple[str, str]]:
    found = open_set(path, Kind.SAME_CLASS, kit.ANY[Kind.SAME_CLASS])
    assert set(found.labels) == {item.label for item in kit.items(found)}
    return [(Path(item.key).name, item.label) for item in kit.items(found)]


@pytest.mark.parametrize("inside", ["", "images"])
def test_gpr1200_is_in_the_order_of_its_numbers(tmp_path: Path, inside: str) -> None:
    write(tmp_path / inside, "10_b.JPEG", "9_a.jpg", "2_x.png", "2_a_b.jpg", "100_a.jpg")
    (tmp_path / inside / "desktop.ini").write_text("")
    expected = [
        ("2_a_b.jpg", "2"),
        ("2_x.png", "2"),
        ("9_a.jpg", "9"),
        ("10_b.JPEG", "10"),
        ("100_a.jpg", "100"),
    ]
    assert same_class_at(tmp_path) == expected
    write(tmp_path / inside, "noise.jpg")
    with pytest.raises(UserError, match=r"noise\.jpg: expected a name that begins with its class's number"):
        same_class_at(tmp_path)


def test_classes_in_file_names_are_those_of_the_task(tmp_path: Path) -> None:
    write(tmp_path, "n02_b_c.JPEG", "n01_tench.JPEG", "n02_a.JPEG")
    classes = (
        ClassName("tench", ("0", "n01")),
        ClassName("goldfish", ("1", "n02")),
        ClassName("eel", ("n03",)),
    )
    found = open_set(tmp_path, Kind.CLASSES, Task("imagenet", "", Kind.CLASSES, classes))
    assert [(i.key, i.label) for i in kit.items(found)] == [
        ("n01_tench.JPEG", "n01"), ("n02_a.JPEG", "n02"), ("n02_b_c.JPEG", "n02"),
    ]  # fmt: skip
    assert found.labels == ("n01", "n02")
    with pytest.raises(UserError, match="no images with classes, which classes needs; found 3 entries"):
        kit.classes_at(tmp_path)
    write(tmp_path, "n09_x.JPEG")
    with pytest.raises(UserError, match="no images with classes, which imagenet needs"):
        open_set(tmp_path, Kind.CLASSES, Task("imagenet", "", Kind.CLASSES, classes))


def test_numbered_folders(tmp_path: Path) -> None:
    write(tmp_path, "10/a.jpeg", "9/b.jpeg", "0/c.jpeg")
    found = kit.classes_at(tmp_path)
    assert found.labels == ("0", "9", "10")
    assert {item.label: item.image for item in kit.items(found)} == dict(
        zip(("10", "9", "0"), kit.IMAGES, strict=False)
    )


def test_class_folders_are_read_as_scikit_learn_does(tmp_path: Path) -> None:
    kit.class_folders(tmp_path)
    (tmp_path / "README.txt").unlink()
    for label in kit.CLASSES:
        for image in (tmp_path / label / "deeper").iterdir():
            image.rename(tmp_path / label / image.name)
        (tmp_path / label / "deeper").rmdir()
    expected = load_files(tmp_path, shuffle=False)
    found = kit.classes_at(tmp_path)
    assert list(found.labels) == expected.target_names
    ours = [(str(tmp_path / item.key), item.image, item.label) for item in kit.items(found)]
    theirs = zip(
        expected.filenames, expected.data, (expected.target_names[n] for n in expected.target), strict=True
    )
    assert sorted(ours) == sorted(theirs)


def test_a_folder_around_the_classes(tmp_path: Path) -> None:
    write(tmp_path / "101_ObjectCategories", "a/1.jpg", "b/2.jpg")
    (tmp_path / "labels").mkdir()
    assert kit.classes_at(tmp_path).labels == ("a", "b")


def test_hidden_files_are_no_images(tmp_path: Path) -> None:
    write(tmp_path, "a/1.jpg", "b/2.jpg", "a/._1.jpg", "__MACOSX/a/1.jpg")
    assert [item.key for item in kit.items(kit.classes_at(tmp_path))] == ["a/1.jpg", "b/2.jpg"]


@pytest.mark.parametrize(("splits", "taken"), [
    (("train", "test", "val"), "test"), (("train", "val"), "val"), (("train", "Validation"), "Validation"),
])  # fmt: skip
def test_the_held_out_split(tmp_path: Path, splits: tuple[str, ...], taken: str) -> None:
    for split in splits:
        write(tmp_path / split, f"a/{split}.jpg", f"b/{split}.jpg")
    assert {Path(item.key).stem for item in kit.items(kit.classes_at(tmp_path))} == {taken}


def test_without_a_held_out_split(tmp_path: Path) -> None:
    write(tmp_path / "train", "a/1.jpg", "b/1.jpg")
    with pytest.raises(UserError, match="no held-out split among train; expected one of test, val"):
        kit.classes_at(tmp_path)
    assert len(kit.items(kit.classes_at(tmp_path / "train"))) == 2


@pytest.mark.parametrize(("names", "message"), [
    (["data/train-00000-of-00001.parquet"], "no held-out split among train"),
    (["test-00000-of-00003.parquet", "test-00002-of-00003.parquet"], "2 of 3 files are here; fetch"),
    (["en/test-00000-of-00001.parquet", "de/test-00000-of-00001.parquet"], "several data sets .* de, en"),
])  # fmt: skip
def test_parquet_that_is_not_whole(tmp_path: Path, names: list[str], message: str) -> None:
    for name in names:
        hub_file = tmp_path / name
        hub_file.parent.mkdir(exist_ok=True)
        kit.labelled_hub("label").select([1]).to_parquet(hub_file)
    with pytest.raises(UserError, match=message):
        kit.classes_at(tmp_path)


def test_one_parquet_file_of_a_data_set(tmp_path: Path) -> None:
    kit.class_parquet(tmp_path)
    assert len(kit.items(kit.classes_at(tmp_path / "data" / "train-00000-of-00001.parquet"))) == 1


def test_labels_of_parquet(tmp_path: Path) -> None:
    """Names of a ClassLabel; else numbers or texts as they stand there."""
    image = [{"bytes": kit.IMAGES[0], "path": None}] * 2
    for labels, expected in (([7, 3], ["7", "3"]), (["a b", "c"], ["a b", "c"])):
        pq.write_table(pa.table({"image": image, "label": labels}), tmp_path / "x.parquet")
        found = kit.classes_at(tmp_path / "x.parquet")
        assert ([item.label for item in kit.items(found)], found.labels) == (expected, ())
    pq.write_table(pa.table({"image": image, "what": [1, 2]}), tmp_path / "x.parquet")
    with pytest.raises(UserError, match="no column with classes among image, what; expected fine_label"):
        kit.classes_at(tmp_path)
    with pytest.raises(UserError, match="no column with captions among what"):
        kit.captions_at(tmp_path)


def test_several_caption_sources(tmp_path: Path) -> None:
    image = [{"bytes": kit.IMAGES[0], "path": None}]
    table = pa.table({"image": image, "caption": [["a", "b"]], "vecap": ["c"]})
    pq.write_table(table, tmp_path / "test.parquet")
    (item,) = kit.items(kit.captions_at(tmp_path))
    assert (item.texts, item.sources) == (("a", "b", "c"), ("alttext", "alttext", "vecap"))


def test_shards_with_several_sources(tmp_path: Path) -> None:
    write(tmp_path, "1.jpg", "2.jpg")
    rows = [
        {"image": "1.jpg", "text": ["a", "b"], "vecap": "c"},
        {"image": "2.jpg", "text": ["d"], "vecap": ""},
    ]
    (tmp_path / "t.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert shard([str(tmp_path / "t.jsonl"), "--out", str(tmp_path / "shards"), "--workers", "1"]) == 0
    found = kit.captions_at(tmp_path / "shards")
    assert [(i.key, i.texts, i.sources) for i in kit.items(found)] == [
        ("1.jpg", ("a", "b", "c"), ("alttext", "alttext", "vecap")), ("2.jpg", ("d",), ("alttext",)),
    ]  # fmt: skip
    (mds,) = (tmp_path / "shards").rglob("*.mds")
    data = bytearray(mds.read_bytes())
    data[-1] ^= 1
    mds.write_bytes(bytes(data))
    with pytest.raises(UserError, match=r"shard\.00000\.mds: .*engine\.verify"):
        kit.read(kit.captions_at(tmp_path / "shards"))


@pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_tars_that_are_not_whole(tmp_path: Path) -> None:
    kit.class_tars(tmp_path)
    here = tmp_path / "test"
    assert len(kit.items(kit.classes_at(here))) == kit.COUNT  # beside the set's own texts
    assert kit.classes_at(here).templates
    assert len(kit.items(kit.classes_at(here / "11.tar"))) == kit.COUNT % 25 or 25
    (tmp_path / "zeroshot_classification_templates.txt").write_text("a photo\n")
    with pytest.raises(UserError, match=r"template 'a photo' has no place for the name; expected \{c\}"):
        kit.classes_at(tmp_path)
    (here / "3.tar").unlink()
    with pytest.raises(UserError, match=r"11 tars, nshards\.txt says 12; fetch the others"):
        kit.classes_at(tmp_path)
    (tmp_path / "dataset_type.txt").write_text("multilabel\n")
    shutil.copy(here / "4.tar", here / "3.tar")
    with pytest.raises(UserError, match="several classes an image"):
        kit.classes_at(tmp_path)
    here.rename(tmp_path / "train")
    with pytest.raises(UserError, match="no held-out split among train"):
        kit.classes_at(tmp_path)


def test_several_tables(tmp_path: Path) -> None:
    write(tmp_path / "images", "1.jpg")
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text("image,caption\n1.jpg,a\n")
    with pytest.raises(
        UserError, match=r"several tables of captions; give the path of one of .*a\.csv, .*b\.csv"
    ):
        kit.captions_at(tmp_path)
    (tmp_path / "a.csv").rename(tmp_path / "train.csv")
    (tmp_path / "b.csv").rename(tmp_path / "test.csv")
    assert kit.captions_at(tmp_path).units()[0].where.endswith("test.csv")
    for name in ("train.csv", "test.csv"):
        (tmp_path / name).write_text("image,label\nimages/1.jpg,a\n")
    assert kit.items(kit.classes_at(tmp_path))[0].key == "images/1.jpg"


def test_karpathys_document_counts_before_cocos(tmp_path: Path) -> None:
    kit.coco(tmp_path)
    kit.karpathy(tmp_path)
    assert kit.captions_at(tmp_path).units()[0].where.endswith("dataset_coco.json")


def test_a_list_of_test_images_fits_its_table(tmp_path: Path) -> None:
    kit.flickr8k(tmp_path)
    with (tmp_path / "Flickr8k_text" / "Flickr_8k.testImages.txt").open("a") as file:
        file.write("not_there.jpg\n")
    with pytest.raises(UserError, match=r"1 of 301 listed test images are not in it \(not_there\.jpg\)"):
        kit.captions_at(tmp_path)


def test_a_table_without_its_images(tmp_path: Path) -> None:
    kit.kaggle_captions(tmp_path / "flickr")
    (tmp_path / "flickr" / "Images").rename(tmp_path / "another_set")
    with pytest.raises(
        UserError, match=r"its image '0000_x\.jpg' is in no folder of the set; put the folder of the images"
    ):
        kit.captions_at(tmp_path / "flickr")


def test_nothing_known(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nowhere: not found"):
        kit.classes_at(tmp_path / "nowhere")
    (tmp_path / "notes.md").write_text("nothing")
    with pytest.raises(
        UserError, match=r"found 1 entries \(notes\.md\); expected .*webdataset tars.*class folders"
    ):
        kit.classes_at(tmp_path)
    with pytest.raises(UserError, match="found a file of another kind; expected a data set"):
        kit.captions_at(tmp_path / "notes.md")
    with pytest.raises(UserError, match="no known layout"):
        find_kind(tmp_path)


def test_a_saved_data_set_without_all_its_files(tmp_path: Path) -> None:
    datasets.disable_progress_bars()
    kit.class_arrow(tmp_path)
    (tmp_path / "test" / "data-00000-of-00002.arrow").unlink()
    with pytest.raises(UserError, match="1 of 2 files are here"):
        kit.classes_at(tmp_path)


def test_a_table_in_a_folder_of_texts(tmp_path: Path) -> None:
    """Given by its name too, its images are those of the folders beside."""
    kit.coco(tmp_path / "coco")
    found = kit.captions_at(tmp_path / "coco" / "annotations" / "captions_val2014.json")
    assert kit.read(found) == kit.read(kit.captions_at(tmp_path / "coco"))
