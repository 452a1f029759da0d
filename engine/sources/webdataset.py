"""webdataset: tars whose neighbouring members with the same name up to the first dot are one sample."""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, cast

import zstandard

from engine.errors import UserError
from engine.records import Record, Reject
from engine.sources.assemble import Assembler, Sample
from engine.sources.base import Source, Unit
from engine.sources.options import MAX_TEXT_BYTES
from engine.sources.storage import base_name, common_folder, is_url, open_binary, relative_to
from engine.sources.tarstream import Member, TarError, TarStream

IMAGE_FIELDS = ("jpg", "jpeg", "png", "webp")
TAR_NAMES = (".tar", ".tar.gz", ".tgz", ".tar.zst")
# The rule of webdataset's `base_plus_ext`: folders belong to the key, the first dot of the file name ends it.
_NAME = re.compile(r"((?:.*/|)[^.]+)[.]([^/]*)", re.DOTALL)
# Names that webdataset passes over: `__meta__`, `__meta__/...`.
_META = re.compile(r"__[^/]*__($|/)")
# zstd frames may ask for windows of gigabytes; 128 MiB is what `zstd --long` needs.
ZSTD_WINDOW_BYTES = 1 << 27
Span = tuple[int, int | None]
DAMAGE = (TarError, gzip.BadGzipFile, EOFError, zlib.error, zstandard.ZstdError)


class WebDatasetSource(Source):
    """Tars, one work unit each, or several."""

    format = "webdataset"

    def __init__(self, paths: list[str], assembler: Assembler, samples_per_unit: int | None = None) -> None:
        """`paths` are the tars in input order; of `samples_per_unit` see `units`."""
        super().__init__(assembler)
        self.paths = paths
        self.samples_per_unit = samples_per_unit

    def units(self) -> list[Unit]:
        """One unit per tar; local plain ones in parts of `samples_per_unit`, found by their headers."""
        root = common_folder(self.paths)
        return [
            Unit(f"{relative_to(root, path)}{name}", path, span)
            for path in self.paths
            for name, span in self._parts(path)
        ]

    def _parts(self, path: str) -> list[tuple[str, Span | None]]:
        """A name and the bytes from a first sample to the next part's; the last part has no end."""
        if self.samples_per_unit is None or is_url(path) or not path.endswith(".tar"):
            return [("", None)]
        starts = sample_starts(path)
        firsts = range(0, max(len(starts), 1), self.samples_per_unit)
        bounds = [*(starts[first] for first in firsts if first), None]
        names = [f"[{first}:{min(first + self.samples_per_unit, len(starts))}]" for first in firsts]
        return [
            (name, (begin or 0, end)) for name, begin, end in zip(names, [0, *bounds], bounds, strict=False)
        ]

    def read(self, unit: Unit) -> Iterator[Record | Reject]:
        """Samples in the order of the tar."""
        for sample in self._samples(unit.where, unit.payload or (0, None)):
            result = self.assembler.assemble(sample)
            if result is not None:
                yield result

    def _samples(self, path: str, span: Span) -> Iterator[Sample]:
        current: Sample | None = None
        try:
            with open_tar(path) as stream:
                if span[0]:
                    stream.seek(span[0])
                tar = TarStream(stream, span[0])
                for key, field, member in fields_of(tar):
                    if member.position == span[1]:
                        break
                    if current is None or current.key != key:
                        if current is not None:
                            yield current
                        current = Sample(key, None, {}, f"{path}#{key}")
                    self._add(current, field, member, tar)
        except DAMAGE as error:
            if current is not None and isinstance(error, TarError) and error.complete:
                yield current
                current = None
            yield broken(path, current, error)
            return
        except (
            OSError
        ) as error:  # the disk or the network, not the archive: nobody may take this for a reject
            raise UserError(f"{path}: reading failed: {error}; run again") from error
        if current is not None:
            yield current

    def _add(self, sample: Sample, field: str, member: Member, tar: TarStream) -> None:
        is_image = field in IMAGE_FIELDS
        if sample.problem or not (is_image or field in self.assembler.fields):
            return
        limit = self.assembler.max_image_bytes if is_image else MAX_TEXT_BYTES
        if ".." in member.name.split("/") or member.name.startswith("/"):
            sample.problem = ("unsafe_path", f"the member name {member.name!r} leaves the archive")
        elif not member.is_file:
            sample.problem = ("not_a_file", f"{member.name} is a link or a device")
        elif (sample.image is not None) if is_image else field in sample.fields:
            sample.problem = ("duplicate_field", f"the field {field} stands there twice")
        elif member.size > limit:
            code = "image_too_large" if is_image else "field_too_large"
            sample.problem = (code, f"{member.name} has {member.size:,} bytes; the limit is {limit:,}")
        elif is_image:
            sample.image = tar.read()
        else:
            sample.fields[field] = tar.read()


def fields_of(tar: TarStream) -> Iterator[tuple[str, str, Member]]:
    """Key, field and member of what belongs to samples."""
    for member in tar:
        skip = member.is_dir or _META.match(member.name)
        split = None if skip else split_name(member.name)
        if split is not None:
            yield split[0], split[1].lower(), member


def sample_starts(path: str) -> list[int]:
    """Where the samples of a local tar begin, in bytes; what follows damage is not told apart."""
    starts, current = [], None
    try:
        with open(path, "rb", buffering=0) as raw:
            for key, _, member in fields_of(TarStream(cast(BinaryIO, raw), seek=True)):
                if key != current:
                    starts.append(member.position)
                current = key
    except TarError:
        pass  # whoever reads the last part gets there, and says so
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error}") from error
    return starts


def split_name(name: str) -> tuple[str, str] | None:
    """Key and extension of a file name, `None` if it has no extension."""
    match = _NAME.fullmatch(name)
    return None if match is None else (match[1], match[2])


def broken(path: str, current: Sample | None, error: Exception) -> Sample:
    """The sample at which an archive breaks off, or a stand-in where there is none."""
    code = error.code if isinstance(error, TarError) else "tar_damaged"
    sample = current or Sample(base_name(path), None, {}, path)
    sample.problem = (code, str(error) or type(error).__name__)
    return sample


@contextmanager
def open_tar(path: str) -> Iterator[BinaryIO]:
    """The bytes of a tar, unpacked while they are read."""
    with open_binary(path) as raw:
        if path.endswith((".gz", ".tgz")):
            with gzip.GzipFile(fileobj=raw) as unpacked:
                yield cast(BinaryIO, unpacked)
        elif path.endswith(".zst"):
            unpacker = zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW_BYTES)
            with unpacker.stream_reader(raw, read_across_frames=True) as reader:
                yield cast(BinaryIO, reader)
        else:
            yield raw
