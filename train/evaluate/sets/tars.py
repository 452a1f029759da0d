"""webdataset tars as CLIP_benchmark writes and reads them: `test/0.tar`, labels in .cls, captions in .txt.

SET/test/0.tar, 1.tar, ...; SET/test/nshards.txt      members s0000000.webp and s0000000.cls or .txt
SET/classnames.txt                                    one a line, in the order of the numbers in .cls
SET/zeroshot_classification_templates.txt             one a line, {c} for the name
SET/dataset_type.txt                                  `retrieval` or `multilabel`; absent: classes
"""

from __future__ import annotations

from engine.errors import UserError
from engine.sources.detect import find_tars as tars_at
from engine.sources.open import FILE_CAPTIONS
from engine.sources.options import MAX_TEXT_BYTES
from engine.sources.storage import exists, is_dir, join, open_binary, parent
from engine.sources.tarstream import TarStream
from engine.sources.webdataset import DAMAGE, WebDatasetSource, fields_of, open_tar
from train.evaluate.sets.base import ImageSet
from train.evaluate.sets.place import UNIT_IMAGES, Place, held_out, in_order, is_split, look
from train.evaluate.sets.records import LABEL, Fields, RecordSet, SetAssembler
from train.evaluate.tasks import Kind, Task

CLASSNAMES = "classnames.txt"
TEMPLATES = "zeroshot_classification_templates.txt"
TYPE = "dataset_type.txt"
SHARD_COUNT = "nshards.txt"
LABEL_FIELD = "cls"


def find_tars(place: Place, kind: Kind, task: Task) -> ImageSet | None:
    """Tars: one, those of a folder, or those of its held-out split."""
    folder, paths = locate(place)
    if not paths:
        return None
    check_kind(place.path, describe(folder, paths[0]), kind)
    if kind is Kind.RETRIEVAL:
        fields = Fields(FILE_CAPTIONS, lines=True)
        return RecordSet(place.path, WebDatasetSource(paths, SetAssembler(fields), UNIT_IMAGES))
    names = tuple(read_lines(folder, CLASSNAMES))
    source = WebDatasetSource(paths, SetAssembler(Fields({LABEL: LABEL_FIELD})), UNIT_IMAGES)
    found = RecordSet(place.path, source, tuple(map(str, range(len(names)))), names)
    found.templates = tuple(template(folder, line) for line in read_lines(folder, TEMPLATES))
    return found


def locate(place: Place) -> tuple[str, list[str]]:
    """The folder with the tars and the tars in order.

    Raises:
        UserError: tars of other splits only, or fewer than `nshards.txt` says.
    """
    here = tars_at(place.path, None if place.entries is None else list(place.entries)) or []
    if here:
        folder = parent(place.path) if place.entries is None else place.path
        return folder, in_order(here) if place.entries is None else whole(folder, in_order(here))
    with_tars = {entry.name: entry.path for entry in place.folders if tars_in(entry.path)}
    if not with_tars:
        return place.path, []
    lone = len(with_tars) == 1 and not any(map(is_split, with_tars))
    folder = with_tars[next(iter(with_tars)) if lone else held_out(place.path, with_tars)]
    return folder, whole(folder, in_order(tars_in(folder)))


def tars_in(folder: str) -> list[str]:
    """The tars of a folder."""
    return tars_at(folder, list(look(folder).entries or ())) or []


def whole(folder: str, paths: list[str]) -> list[str]:
    """The tars, if there are as many as `nshards.txt` says.

    Raises:
        UserError: there are not.
    """
    lines = text_lines(join(folder, SHARD_COUNT))
    if not lines:
        return paths
    count = int(lines[0]) if lines[0].isascii() and lines[0].isdecimal() else -1
    if count != len(paths):
        raise UserError(
            f"{folder}: {len(paths)} tars, {SHARD_COUNT} says {lines[0][:20]}; fetch the others or mend it"
        )
    return paths


def describe(folder: str, path: str) -> str:
    """What a set of tars holds: what `dataset_type.txt` says, else what its first sample has."""
    lines = read_lines(folder, TYPE)
    if lines:
        return lines[0].lower()
    found: set[str] = set()
    first = None
    try:
        with open_tar(path) as stream:
            for key, field, _ in fields_of(TarStream(stream)):
                if first not in (None, key):
                    break
                first = key
                found.add(field)
    except DAMAGE:
        pass  # reading it says so, as a reject
    return "classification" if LABEL_FIELD in found else "retrieval" if found & {"txt", "json"} else ""


def check_kind(where: str, holds: str, kind: Kind) -> None:
    """Refuse what the task cannot use.

    Raises:
        UserError: captions instead of classes, or the reverse, or several classes an image.
    """
    if holds == "multilabel":
        raise UserError(f"{where}: several classes an image; expected one class or captions an image")
    if holds == "retrieval" and kind is not Kind.RETRIEVAL:
        raise UserError(f"{where}: tars with captions; expected tars with a class (.{LABEL_FIELD}) an image")
    if holds == "classification" and kind is Kind.RETRIEVAL:
        raise UserError(f"{where}: tars with classes; expected tars with captions (.txt)")


def template(folder: str, line: str) -> str:
    """A template with {} for the name.

    Raises:
        UserError: it has no place for a name.
    """
    if "{c}" not in line and "{}" not in line:
        raise UserError(f"{folder}: template {line!r} has no place for the name; expected {{c}}")
    return line.replace("{c}", "{}")


def read_lines(folder: str, name: str) -> list[str]:
    """The lines of a text file beside the tars, else in the folder around; none without the file."""
    lines = text_lines(join(folder, name))
    return lines or text_lines(join(parent(folder.rstrip("/")), name))


def text_lines(path: str) -> list[str]:
    """The lines of a text file, white space around them removed; none without the file."""
    if not exists(path) or is_dir(path):
        return []
    with open_binary(path) as stream:
        try:
            data = stream.read(MAX_TEXT_BYTES + 1)
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise UserError(f"{path}: not UTF-8: {error}") from error
    if len(data) > MAX_TEXT_BYTES:
        raise UserError(f"{path}: over {MAX_TEXT_BYTES >> 20} MiB; expected a list of names or lines")
    return [line.strip() for line in text.strip("\n").splitlines()]
