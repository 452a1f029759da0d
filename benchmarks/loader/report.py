"""The table on the terminal, and what the issue's targets say about it."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from itertools import groupby

from benchmarks.loader.peers import BY_NAME
from benchmarks.loader.rounds import Row

HEADER = (
    f"{'':26}{'images/s':>9}{'ratio':>7}{'min':>6}{'max':>6}{'cpu':>6}{'CPU s/1000':>12}"
    f"{'MB':>6}{'first s':>9}{'max diff':>10}"
)


def machine() -> str:
    """Processor, cores, load and versions, in one line."""
    model = platform.processor() or platform.machine()
    if os.path.exists("/proc/cpuinfo"):
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            model = next(
                (line.split(":")[1].strip() for line in file if line.startswith("model name")), model
            )
    load = ", ".join(f"{value:.2f}" for value in os.getloadavg())
    return f"{model}, {len(os.sched_getaffinity(0))} cores, load {load}, Python {platform.python_version()}"


def _line(row: Row) -> str:
    memory = "" if row["peak_mb"] is None else f"{row['peak_mb']:,}"
    title = BY_NAME[row["peer"]].title
    return (
        f"  {title:24}{row['images_per_s']:>9,.0f}{row['ratio']:>7.2f}{row['ratio_min']:>6.2f}"
        f"{row['ratio_max']:>6.2f}{row['cpu_ratio']:>6.2f}{row['cpu_s_per_1000']:>12.3f}{memory:>6}"
        f"{row['first_batch_s']:>9.2f}{row['max_diff']:>10.3g}"
    )


def print_rows(rows: Sequence[Row]) -> None:
    """A table per cell; ratio is ours over the peer's speed, above 1 ours is faster."""
    for (level, images, output, threads), cell in groupby(
        rows, lambda row: (row["level"], row["input"], row["output"], row["threads"])
    ):
        plural = "" if threads == 1 else "s"
        print(f"\n{level}, {images}, {output}, {threads} thread{plural}\n{HEADER}")
        for row in cell:
            print(_line(row), flush=True)
