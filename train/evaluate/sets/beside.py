"""Caption files beside images: NAME.jpg with NAME.txt, one caption a line, as img2dataset writes them."""

from __future__ import annotations

from engine.sources.detect import find_files
from engine.sources.files import FilesSource
from engine.sources.open import FILE_CAPTIONS
from train.evaluate.sets.base import ImageSet
from train.evaluate.sets.place import UNIT_IMAGES, Place
from train.evaluate.sets.records import Fields, RecordSet, SetAssembler
from train.evaluate.tasks import Kind, Task


def find_beside(place: Place, kind: Kind, task: Task) -> ImageSet | None:
    """A folder of such files, or folders of them."""
    folders = find_files(place.path, None if place.entries is None else list(place.entries))
    if not folders:
        return None
    source = FilesSource(folders, SetAssembler(Fields(FILE_CAPTIONS, lines=True)), UNIT_IMAGES)
    return RecordSet(place.path, source)
