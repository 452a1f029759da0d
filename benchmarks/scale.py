"""How start-up grows with the data set: seconds and memory until the first batch, on two cores.

python -m benchmarks.scale --samples 3e6 30e6 300e6 --json scale.json --chart docs/results/scale.svg

Each start is a new process that imports, opens the data set and takes one batch of 256 images at 224 pixels.
The data sets have the index and the files of that many samples, and the shards' bytes once
(benchmarks/scale_corpus.py); they are made in --folder and removed again. MosaicML's own StreamingDataset
runs beside ours up to --streaming-most samples: its order takes about 57 bytes of memory a sample.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.scale_corpus import SAMPLES_PER_SHARD, make_corpus
from benchmarks.scale_memory import run_measured

TIMEOUT_S = 500.0
SHARDS_PER_SAMPLE = 140_000 / 300e6


@dataclass(frozen=True)
class Row:
    """One start. Seconds count from the process's start; `cpu_s` is the main process's, up to the batch."""

    loader: str
    workers: int
    samples: int
    shards: int
    index_mb: float
    imported_s: float
    opened_s: float
    first_batch_s: float
    cpu_s: float
    peak_mb: float


def measure(folder: Path, samples: int, loader: str, workers: int) -> Row:
    """Start once."""
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.scale_probe", str(folder), loader]
    output, peak = run_measured([*command, str(workers)], TIMEOUT_S)
    times = json.loads(output.splitlines()[-1])
    index_mb = round((folder / "index.json").stat().st_size / 1e6, 1)
    shards = samples // SAMPLES_PER_SHARD
    return Row(loader, workers, samples, shards, index_mb, **times, peak_mb=round(peak / 1e6))


def measure_all(sizes: Sequence[int], root: Path, starts: int, streaming_most: int) -> list[Row]:
    """Every size and loader `starts` times, one after the other; print each."""
    rows = []
    for size in sizes:
        folder = Path(tempfile.mkdtemp(prefix="scale", dir=root)) / "data"
        try:
            samples = make_corpus(folder, max(1, round(size * SHARDS_PER_SAMPLE)))
            for _ in range(starts):
                for loader, workers in (("ours", 0), ("ours", 2), ("streaming", 0)):
                    if loader == "ours" or samples <= streaming_most:
                        rows.append(measure(folder, samples, loader, workers))
                        print(line(rows[-1]), flush=True)
        finally:
            shutil.rmtree(folder.parent)
    return rows


HEADER = "loader     workers      samples   shards  imported    opened  first batch       CPU    peak MB"


def line(row: Row) -> str:
    """One row of the table."""
    return (
        f"{row.loader:<10} {row.workers:>7} {row.samples:>12,} {row.shards:>8,} {row.imported_s:>7.1f} s "
        f"{row.opened_s:>7.1f} s {row.first_batch_s:>10.1f} s {row.cpu_s:>7.1f} s {row.peak_mb:>9,.0f}"
    )


def main() -> None:
    """Measure, print, and write what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--samples", type=float, nargs="+", default=[3e6, 30e6, 300e6])
    parser.add_argument("--folder", type=Path, help="where the data sets are made (default: temporary)")
    parser.add_argument("--starts", type=int, default=1, help="of each kind; charts show the median")
    parser.add_argument("--streaming-most", type=float, default=30.1e6, metavar="SAMPLES")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--chart", type=Path, help="an .svg file; needs matplotlib")
    options = parser.parse_args()
    print(HEADER)
    rows = measure_all(
        [round(size) for size in options.samples], options.folder, options.starts, options.streaming_most
    )
    if options.json:
        options.json.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")
    if options.chart:
        from benchmarks.scale_chart import draw

        draw([asdict(row) for row in rows], options.chart)


if __name__ == "__main__":
    main()
