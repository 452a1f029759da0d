"""img2dataset's `files` layout: folders in which `NAME.jpg`, `NAME.txt` and `NAME.json` are one sample."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from engine.records import Record, Reject
from engine.sources.assemble import Assembler, Sample, SampleError
from engine.sources.base import Source, Unit
from engine.sources.images import read_image
from engine.sources.options import MAX_TEXT_BYTES
from engine.sources.storage import common_folder, list_dir, relative_to
from engine.sources.webdataset import IMAGE_FIELDS, split_name


class FilesSource(Source):
    """Folders of sample files, one work unit each, or several."""

    format = "img2dataset"

    def __init__(self, folders: list[str], assembler: Assembler, samples_per_unit: int | None = None) -> None:
        """`folders` in input order; each is one unit, or units of `samples_per_unit`."""
        super().__init__(assembler)
        self.folders = folders
        self.samples_per_unit = samples_per_unit

    def units(self) -> list[Unit]:
        """Units in the order of the folders."""
        root = common_folder(self.folders)
        return [unit for folder in self.folders for unit in self._units(relative_to(root, folder), folder)]

    def _units(self, name: str, folder: str) -> Iterator[Unit]:
        if self.samples_per_unit is None:
            yield Unit(name, folder, None)
            return
        samples = list(list_samples(folder))
        for start in range(0, len(samples), self.samples_per_unit):
            part = samples[start : start + self.samples_per_unit]
            yield Unit(f"{name}[{start}:{start + len(part)}]", folder, part)

    def read(self, unit: Unit) -> Iterator[Record | Reject]:
        """Samples in the order of their names."""
        for key, fields in list_samples(unit.where) if unit.payload is None else unit.payload:
            result = self._read(unit.where, key, fields)
            if result is not None:
                yield result

    def _read(self, folder: str, key: str, fields: list[str]) -> Record | Reject | None:
        sample = Sample(key, None, {}, f"{folder}/{key}")
        if not self.assembler.wanted(sample):
            return None
        images = [field for field in fields if field.lower() in IMAGE_FIELDS]
        if len(images) > 1:
            sample.problem = ("duplicate_field", f"several images: {', '.join(images)}")
            return self.assembler.assemble(sample)
        try:
            for field in images:
                sample.image = read_image(folder, f"{key}.{field}", self.assembler.max_image_bytes)
            for field in fields:
                if field.lower() in self.assembler.fields:
                    sample.fields[field.lower()] = self._read_text(folder, f"{key}.{field}")
        except SampleError as error:
            sample.problem = (error.code, error.message)
        return self.assembler.assemble(sample)

    def _read_text(self, folder: str, name: str) -> bytes:
        try:
            return read_image(folder, name, MAX_TEXT_BYTES)
        except SampleError as error:
            if error.code != "image_too_large":
                raise
            raise SampleError("field_too_large", f"{name}: over {MAX_TEXT_BYTES:,} bytes") from None


def list_samples(folder: str) -> Iterator[tuple[str, list[str]]]:
    """Key and extensions of each sample that has an image or a text beside others, sorted by key."""
    split = (split_name(entry.name) for entry in list_dir(folder) if not entry.is_dir)
    names = sorted(name for name in split if name is not None)
    for key, pairs in groupby(names, key=lambda name: name[0]):
        yield key, [field for _, field in pairs]
