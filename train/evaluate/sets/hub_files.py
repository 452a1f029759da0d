"""The files of a Hugging Face data set: those of its held-out split.

SET/data/test-00000-of-00002.parquet, ...   or without data/, in SET/CONFIG/, or as SET/test/0000.parquet
SET/dataset_dict.json, SET/test/data-00000-of-00001.arrow, ...   or SET/data-00000-of-00001.arrow
"""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from engine.errors import UserError
from engine.sources.columnar import ReadError, open_parquet
from engine.sources.storage import open_binary
from train.evaluate.sets.place import Place, held_out, in_order, is_split, look, split_of

SUFFIXES = (".parquet", ".arrow")
NO_LABEL = -1  # what the Hub's test splits without published labels have
Splits = dict[str, list[str]]


def files_by_split(place: Place) -> Splits:
    """Parquet or arrow files by the split that names of files or folders say; "" where they say none.

    Raises:
        UserError: folders of several configurations.
    """
    if place.entries is None:
        return {"": [place.path]} if place.path.endswith(SUFFIXES) else {}
    here: Splits = {}
    for path in in_order(entry.path for entry in place.files if entry.name.endswith(SUFFIXES)):
        here.setdefault(split_of(path), []).append(path)
    if here:
        return here
    below = {
        entry.name: files_by_split(look(entry.path)) for entry in place.folders if holds_files(entry.path)
    }
    splits = {name: found for name, found in below.items() if is_split(name)}
    if splits:
        return {name: [path for paths in found.values() for path in paths] for name, found in splits.items()}
    if len(below) > 1:
        raise UserError(f"{place.path}: several data sets in it; give the path of one of {', '.join(below)}")
    return next(iter(below.values()), {})


def holds_files(folder: str) -> bool:
    """Whether a folder, or a folder in it, has parquet or arrow files."""
    place = look(folder)
    nested = (file for entry in place.folders for file in look(entry.path).files)
    return any(entry.name.endswith(SUFFIXES) for entry in (*place.files, *nested))


def choose(where: str, splits: Splits, label: str) -> list[str]:
    """The files of the held-out split; one whose labels are not published is passed over.

    Raises:
        UserError: none is left.
    """
    named = {name: paths for name, paths in splits.items() if name}
    if not named:
        return splits[""]
    while True:
        wanted = held_out(where, named)
        if not label or not unlabelled(named[wanted], label):
            return named[wanted]
        del named[wanted]


def unlabelled(paths: Sequence[str], column: str) -> bool:
    """Whether every class is the number that stands for none."""
    return all(
        pa.types.is_integer(values.type) and pc.max(values).as_py() in (None, NO_LABEL)
        for values in (read_column(path, column) for path in paths)
    )


def read_column(path: str, name: str) -> pa.ChunkedArray:
    """One column of a file.

    Raises:
        UserError: it cannot be read.
    """
    try:
        if path.endswith(".parquet"):
            with open_parquet(path) as file:
                return file.read([name]).column(name)
        with open_binary(path) as stream:
            reader = pa.ipc.open_stream(stream)
            kind = reader.schema.field(name).type
            return pa.chunked_array([batch.column(name) for batch in reader], kind)
    except (*ReadError, KeyError) as error:
        raise UserError(f"{path}: column {name} cannot be read: {error}") from None
