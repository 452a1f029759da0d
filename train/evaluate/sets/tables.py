"""Captions in a table or JSON document, images as files: COCO, Karpathy, Flickr8k, Flickr30k, csv.

captions_val2014.json       COCO's; images in val2014/ beside it, or beside its folder
dataset_coco.json           Karpathy's, with a split; images in val2014/
results_20130124.token      Flickr30k's; Flickr8k.token.txt, with Flickr_8k.testImages.txt its test images
results.csv, captions.txt   Kaggle's; any csv, tsv or jsonl with an image and a caption column
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace

from engine.errors import UserError
from engine.sources import SourceOptions
from engine.sources.columns import IMAGE_COLUMNS, image_column
from engine.sources.detect import is_table
from engine.sources.images import holds, read_image, roots_of
from engine.sources.open import open_rows
from engine.sources.options import MAX_IMAGE_BYTES
from engine.sources.rows import RowReader
from engine.sources.storage import base_name, list_dir, parent
from engine.sources.table import Table, TableSource
from train.evaluate.sets.base import ImageSet, readable
from train.evaluate.sets.captions import caption_fields
from train.evaluate.sets.place import SPLIT_COLUMN, UNIT_IMAGES, Place, held_out, look, split_files
from train.evaluate.sets.records import RecordSet, SetAssembler
from train.evaluate.sets.tars import text_lines
from train.evaluate.tasks import Kind, Task

TEST_LIST = "testimages.txt"  # Flickr_8k.testImages.txt
TEXT_FOLDERS = (
    "annotations",
    "captions",
    "text",
)  # COCO's, Flickr8k_text: the images are in folders beside it
LOOKED_AT = 16  # images of a table that are looked for in a folder before it is taken for another one


def find_tables(place: Place, kind: Kind, task: Task) -> ImageSet | None:
    """A table of captions, or the one of a folder, which may lie in a folder of annotations."""
    if place.entries is None:
        return table_set(place.path, place.path) if is_table(base_name(place.path)) else None
    found = tables_of(place)
    below = [look(entry.path) for entry in place.folders] if not found else []
    found = found or [table for one in below for table in tables_of(one)]
    if not found:
        return None
    best = best_tables(place.path, found)
    if len(best) > 1:
        raise UserError(
            f"{place.path}: several tables of captions; give the path of one of {', '.join(best)}"
        )
    return table_set(place.path, best[0])


def tables_of(place: Place) -> list[str]:
    """Tables in a folder."""
    return [entry.path for entry in place.files if is_table(entry.name)]


def best_tables(where: str, paths: list[str]) -> list[str]:
    """Karpathy's document before Flickr's token file before COCO's held-out captions before other tables."""
    for fits in (is_karpathy, is_tokens, is_held_out_coco):
        found = [path for path in paths if fits(base_name(path))]
        if found:
            return found
    return split_files(where, paths)


def is_karpathy(name: str) -> bool:
    """dataset_coco.json, dataset_flickr30k.json, dataset_flickr8k.json."""
    return name.startswith("dataset_") and name.endswith(".json")


def is_tokens(name: str) -> bool:
    """Flickr8k.token.txt, results_20130124.token; not Flickr8k.lemma.token.txt, which has stems of words."""
    return ".token" in name and ".lemma" not in name


def is_held_out_coco(name: str) -> bool:
    """captions_val2014.json."""
    return name.startswith("captions_val") and name.endswith(".json")


class TableSet(RecordSet):
    """Images that a table names."""

    def __init__(self, where: str, source: TableSource) -> None:
        """Counts the images."""
        super().__init__(where, source)
        self._root = source.tables[0].image_root
        self.images = sum(len(unit.payload[1]) for unit in self._units)

    def pictures(self, keys: Collection[str]) -> dict[str, bytes]:
        """Reads these files alone: keys are paths below the folder of the images."""
        return readable(keys, lambda key: read_image(self._root, key, MAX_IMAGE_BYTES))


def table_set(where: str, path: str) -> TableSet:
    """Open a table: its captions, its split, and where its images are.

    Raises:
        UserError: no captions, no held-out split, no images, or a list names images that the table lacks.
    """
    reader = open_rows(path, SourceOptions((), without_captions=True))
    image = image_column(path, reader.columns, IMAGE_COLUMNS, SourceOptions(()))
    fields = replace(caption_fields(path, [name for name in reader.columns if name != image]), image=image)
    fields = fields.of_split(SPLIT_COLUMN, split_value(reader)) if SPLIT_COLUMN in reader.columns else fields
    fields = replace(fields, names=listed(path)) if fields.split is None else fields
    assembler = SetAssembler(fields)
    images = list(dict.fromkeys(chosen_images(reader, assembler, image)))
    if fields.names is not None:
        check_list(path, fields.names, images)
    if not images:
        raise UserError(f"{path}: no image in it")
    table = Table(reader, image, image_root(where, path, images[:LOOKED_AT]))
    return TableSet(where, TableSource([table], assembler, UNIT_IMAGES))


def chosen_images(reader: RowReader, assembler: SetAssembler, column: str) -> Iterator[str]:
    """What the rows of the set name as their images."""
    for row in reader.rows():
        if not row.problem and assembler.chosen(row.cells) and isinstance(row.cells.get(column), str):
            yield row.cells[column]


def split_value(reader: RowReader) -> str:
    """The held-out value of the column that names the split; "" where it is empty."""
    found = {row.cells.get(SPLIT_COLUMN) for row in reader.rows()}
    splits = [value for value in found if isinstance(value, str) and value]
    return held_out(reader.path, splits) if splits else ""


def listed(table: str) -> frozenset[str] | None:
    """The images that a list of test images beside the table names, if there is one."""
    if table.startswith(("http://", "https://")):  # where no folder can be listed
        return None
    lists = [entry.path for entry in list_dir(parent(table)) if entry.name.lower().endswith(TEST_LIST)]
    return frozenset(text_lines(lists[0])) - {""} if len(lists) == 1 else None


def check_list(table: str, names: frozenset[str], images: list[str]) -> None:
    """Every listed image is in the table.

    Raises:
        UserError: some are not.
    """
    missing = sorted(names.difference(images))
    if missing:
        some = ", ".join(missing[:3])
        raise UserError(f"{table}: {len(missing)} of {len(names)} listed test images are not in it ({some})")


def image_root(where: str, table: str, images: list[str]) -> str:
    """The folder that image paths start from: one of those that belong to the set, the nearest first.

    Never looked for in folders around, where another set may have images of these names.

    Raises:
        UserError: none of the images is in any of them.
    """
    near = roots_of(set_folder(where, table))
    for root in (parent(table), *near, *(below for folder in near for below in roots_of(folder)[1:])):
        if any(holds(root, image) for image in images):
            return root
    raise UserError(
        f"{table}: its image {images[0]!r} is in no folder of the set; put the folder of the images beside it"
    )


def set_folder(where: str, table: str) -> str:
    """The folder of a whole set, of which the path or the table's name was given."""
    if where != table:
        return where
    folder = parent(table)
    return parent(folder) if base_name(folder).lower().endswith(TEXT_FOLDERS) else folder
