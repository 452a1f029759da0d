"""One measured start, in a process of its own: prints a JSON object of seconds, from the process's start.

python -m benchmarks.scale_probe FOLDER ours|streaming WORKERS
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

BATCH = 256
SIDE = 224


def process_start() -> float:
    """When this process began, as `time.clock_gettime(CLOCK_BOOTTIME)` counts."""
    after_name = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    return int(after_name[19]) / os.sysconf("SC_CLK_TCK")


def open_ours(folder: str, workers: int) -> Any:
    """The training loader."""
    from loaders.loader import DataConfig, build_loader

    return build_loader(DataConfig(folder, BATCH, image_size=SIDE, num_workers=workers, dtype="uint8"))


def open_streaming(folder: str, workers: int) -> Any:
    """MosaicML's own data set and loader with its default shuffle; samples stay undecoded."""
    from streaming import StreamingDataLoader, StreamingDataset

    dataset = StreamingDataset(local=folder, batch_size=BATCH, shuffle=True)
    return StreamingDataLoader(dataset, BATCH, num_workers=workers, collate_fn=lambda samples: samples)


OPEN = {"ours": open_ours, "streaming": open_streaming}


def main(folder: str, loader: str, workers: int) -> None:
    """Import, open, take a batch; then end without tidying up."""

    def since_start() -> float:
        return round(time.clock_gettime(time.CLOCK_BOOTTIME) - start, 2)

    start = process_start()
    import streaming  # noqa: F401

    import loaders.loader  # noqa: F401

    times = {"imported_s": since_start()}
    opened = OPEN[loader](folder, workers)
    times["opened_s"] = since_start()
    batch = next(iter(opened))
    times["first_batch_s"] = since_start()
    times["cpu_s"] = round(time.process_time(), 2)
    assert len(batch["key"] if isinstance(batch, dict) else batch) == BATCH
    print(json.dumps(times), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
