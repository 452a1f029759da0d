"""A data set of any size whose shards are hard links to one real shard.

What is large is real: index.json, the folders, the number of files. What would only fill the disk is not: the
bytes of the shards. Every shard can be opened, passes its size and hash, and gives decodable samples.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from engine.build.options import BuildOptions
from engine.build.run import RunOptions, build
from engine.shards.entries import FileInfo, ShardEntry
from engine.shards.index import read_index, write_index
from engine.sources import SourceOptions, open_source

SAMPLES_PER_SHARD = 2143
# A work unit is one tar of about 10,000 images, as img2dataset writes them.
SHARDS_PER_UNIT = 5
# ext4 allows 65,000 links to a file.
LINKS_PER_FILE = 60_000


def make_corpus(folder: Path, shards: int) -> int:
    """Write a finished data set of `shards` shards into a new folder; return its samples."""
    seed = folder / "seed"
    entry = _build_seed(seed)
    entries = _link_shards(folder, seed / entry.raw_data.basename, entry, shards)
    write_index(folder, entries)
    description = json.loads((seed / "dataset.json").read_bytes())
    samples = sum(entry.samples for entry in entries)
    (folder / "dataset.json").write_text(json.dumps({**description, "samples": samples}))
    shutil.rmtree(seed)
    return samples


def _build_seed(folder: Path) -> ShardEntry:
    """Pack one shard with `engine.shard`'s own code."""
    folder.parent.mkdir(parents=True)
    tar = folder.with_suffix(".tar")
    rng = np.random.default_rng(0)
    with tarfile.open(tar, "w") as archive:
        for number in range(SAMPLES_PER_SHARD):
            stream = io.BytesIO()
            Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8)).resize((64, 64)).save(stream, "JPEG")
            for suffix, data in (("jpg", stream.getvalue()), ("txt", b"caption %d" % number)):
                member = tarfile.TarInfo(f"{number:05d}.{suffix}")
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
    options = BuildOptions(SourceOptions(inputs=(str(tar),)))
    build(open_source(options.source), options, RunOptions(folder, 1, executor="inline"))
    (entry,) = read_index(folder)
    tar.unlink()
    return entry


def _link_shards(folder: Path, source: Path, entry: ShardEntry, shards: int) -> list[ShardEntry]:
    entries = []
    for number in range(shards):
        unit, place = divmod(number, SHARDS_PER_UNIT)
        name = f"{unit:05d}/shard.{place:05d}.mds"
        target = folder / name
        if place == 0:
            target.parent.mkdir()
        if number and number % LINKS_PER_FILE == 0:
            source = shutil.copyfile(source, source.with_name(f"copy{number}.mds"))
        os.link(source, target)
        entries.append(replace(entry, raw_data=FileInfo(name, entry.raw_data.bytes, entry.raw_data.hashes)))
    return entries
