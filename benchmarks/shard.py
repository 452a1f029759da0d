"""Pack throughput of `MdsWriter` against MosaicML's `MDSWriter`, on the same, already encoded samples.

python -m benchmarks.shard --folder /dev/shm --json pack.json
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from engine.shards.index import write_index
from engine.shards.mds_writer import MdsWriter

COLUMNS = {"key": "str", "image": "bytes", "width": "int32", "captions": "json", "tokens": "ndarray:uint16"}
BATCH = 256
Columns = dict[str, list[bytes]]


def make_columns(image_bytes: int, total_bytes: int) -> Columns:
    """Encoded columns with incompressible images of one size, about `total_bytes` in all."""
    count = max(1, total_bytes // image_bytes)
    pool = np.random.default_rng(0).bytes(image_bytes + count)
    return {
        "key": [b"key%08d" % i for i in range(count)],
        "image": [pool[i : i + image_bytes] for i in range(count)],
        "width": [b"\0\1\0\0"] * count,
        "captions": [b'{"alttext": ["a caption of the usual length of AltText"]}'] * count,
        "tokens": [b"\5\x20" + bytes(64)] * count,
    }


def pack_batches(folder: Path, columns: Columns, hashes: Sequence[str]) -> None:
    """Ours, as `engine.shard` packs: batches of encoded columns."""
    writer = MdsWriter(folder, COLUMNS, hashes=hashes)
    for at in range(0, len(columns["key"]), BATCH):
        writer.write_batch({name: values[at : at + BATCH] for name, values in columns.items()})
    write_index(folder, writer.finish())


def pack_mosaic(folder: Path, columns: Columns, hashes: Sequence[str]) -> None:
    """MosaicML's writer: takes bytes as they are, too."""
    from streaming import MDSWriter

    with MDSWriter(out=str(folder), columns=COLUMNS, hashes=list(hashes)) as writer:
        for values in zip(*columns.values(), strict=True):
            writer.write(dict(zip(columns, values, strict=True)))


def seconds(
    pack: Callable[[Path, Columns, Sequence[str]], None], root: Path, columns: Columns, hashes: list[str]
) -> float:
    """Processor time of one packing into a fresh folder, which is removed again."""
    folder = Path(tempfile.mkdtemp(dir=root))
    try:
        start = time.process_time()
        pack(folder / "data", columns, hashes)
        return time.process_time() - start
    finally:
        shutil.rmtree(folder)


def measure(
    image_bytes: int, hashes: list[str], root: Path, total_bytes: int, repeats: int
) -> dict[str, object]:
    """Best of `repeats`, the two writers taking turns."""
    columns = make_columns(image_bytes, total_bytes)
    size = sum(len(value) for values in columns.values() for value in values)
    best = {"ours": float("inf"), "mosaic": float("inf")}
    for _ in range(repeats):
        for name, pack in (("ours", pack_batches), ("mosaic", pack_mosaic)):
            best[name] = min(best[name], seconds(pack, root, columns, hashes))
    rates = {f"{name}_mb_per_s": round(size / best[name] / 1e6) for name in best}
    ratio = round(best["mosaic"] / best["ours"], 2)
    return {"image_bytes": image_bytes, "hashes": hashes, **rates, "ratio": ratio}


def main() -> None:
    """Measures a few image sizes and hashes, prints a table, writes JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--folder", type=Path, default=Path(tempfile.gettempdir()), help="where to write shards"
    )
    parser.add_argument("--json", type=Path, help="file for the results")
    parser.add_argument("--megabytes", type=int, default=300, help="data per measurement")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    rows = []
    for image_bytes in (8_000, 30_000, 110_000):
        for hashes in ([], ["xxh64"], ["sha1", "xxh64"]):
            row = measure(image_bytes, hashes, options.folder, options.megabytes * 1_000_000, options.repeats)
            print("  ".join(f"{name}={value}" for name, value in row.items()), flush=True)
            rows.append(row)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
