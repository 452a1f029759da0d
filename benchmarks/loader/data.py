"""The two inputs in every peer's container: the same image bytes, in files that stay in the page cache."""

from __future__ import annotations

import io
import os
import random
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from benchmarks.loader.exact import write_reference
from benchmarks.loader.peers import ffcv_beton
from benchmarks.loader.work import Folders

SUFFIXES = {".jpg", ".jpeg"}
SMALL_SIDE = 256
"""Shorter side of the stored-small set, in pixels; JPEG quality 90, 4:2:0."""
SHARD_BYTES = 64 << 20


def image_files(folder: Path, limit: int) -> list[Path]:
    """At most `limit` JPEG files, spread over the folder."""
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    random.Random(0).shuffle(files)
    return files[:limit]


def read_images(folder: Path, limit: int) -> list[bytes]:
    """What is in them."""
    return [path.read_bytes() for path in image_files(folder, limit)]


def make_small(data: bytes) -> bytes:
    """The image re-encoded at SMALL_SIDE, as a data set stored small would hold it."""
    from PIL import Image

    image = Image.open(io.BytesIO(data)).convert("RGB")
    factor = SMALL_SIDE / min(image.size)
    file = io.BytesIO()
    if factor < 1:
        image = image.resize(
            (round(image.width * factor), round(image.height * factor)), Image.Resampling.BICUBIC
        )
    image.save(file, "jpeg", quality=90, subsampling="4:2:0")
    return file.getvalue()


def write_files(folders: Folders, images: Sequence[bytes], repeats: int) -> None:
    """`unique` and `files`."""
    folders.unique.mkdir(parents=True)
    folders.files.mkdir()
    for number, data in enumerate(images):
        first = folders.unique / f"{number:05d}.jpg"
        first.write_bytes(data)
        for repeat in range(repeats):
            os.link(first, folders.files / f"{number:05d}_{repeat:04d}.jpg")


def pack_ours(folders: Folders) -> None:
    """engine.shard, from a table of the files with one caption each."""
    table = folders.root / "captions.tsv"
    names = [Path(path).name for path in folders.paths()]
    table.write_text("file\tcaption\n" + "".join(f"files/{name}\ta photo, {name}\n" for name in names))
    command = [sys.executable, "-m", "engine.shard", str(table), "--caption", "alttext=caption"]
    command += ["--check", "header", "--out", str(folders.ours)]
    subprocess.run(command, check=True, capture_output=True)
    shutil.copytree(folders.ours, folders.ours_again, copy_function=os.link)


def pack_mds(folders: Folders) -> None:
    """MosaicML's writer, an image column only."""
    from streaming import MDSWriter

    with MDSWriter(out=str(folders.mds), columns={"image": "bytes"}, size_limit=SHARD_BYTES) as writer:
        for path in folders.paths():
            writer.write({"image": Path(path).read_bytes()})


def pack_tar(folders: Folders) -> None:
    """Tars of about SHARD_BYTES, at least four, so that each worker has some."""
    folders.tar.mkdir()
    paths = folders.paths()
    total = sum(os.path.getsize(path) for path in paths)
    shards = max(4, total // SHARD_BYTES)
    for number in range(shards):
        with tarfile.open(folders.tar / f"{number:05d}.tar", "w") as tar:
            for path in paths[number::shards]:
                data = Path(path).read_bytes()
                member = tarfile.TarInfo(Path(path).name)  # `add` would store hard links without their bytes
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))


def pack_litdata(folders: Folders) -> None:
    """litdata.optimize's chunks, written by its own writer in this process."""
    from litdata.streaming.cache import Cache

    cache = Cache(str(folders.litdata), chunk_bytes=SHARD_BYTES)
    for number, path in enumerate(folders.paths()):
        cache[number] = {"image": Path(path).read_bytes()}
    cache.done()
    cache.merge()


def pack_ffcv(folders: Folders) -> None:
    """FFCV's file, its JPEG field given the bytes as they are."""
    ffcv_beton.pack(folders.paths(), folders.ffcv)


PACKERS = {
    "ours": pack_ours,
    "mosaicml": pack_mds,
    "webdataset": pack_tar,
    "litdata": pack_litdata,
    "ffcv": pack_ffcv,
}


def prepare(root: Path, images: Sequence[bytes], repeats: int, peers: Iterable[str]) -> Folders:
    """Write what the named peers read."""
    folders = Folders(root)
    write_files(folders, images, repeats)
    write_reference(folders)
    for name in peers:
        if name in PACKERS:
            PACKERS[name](folders)
    return folders
