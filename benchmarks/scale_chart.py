"""The chart of benchmarks/scale.py: two panels, processor seconds and gigabytes over samples.

python -m benchmarks.scale_chart scale.json scale.svg

Processor seconds, because they are the same beside other work; on idle cores the clock shows about as many.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

LABELS = {
    ("ours", 0): "this loader",
    ("ours", 2): "this loader, 2 worker processes",
    ("streaming", 0): "StreamingDataset, default order",
}


def draw(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Write the chart; several starts of one kind are drawn as their median."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "scale"  # the same figures give the same file
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    for panel, value, unit, title, bound in (
        (panels[0], "cpu_s", 1.0, "processor seconds to the first batch (main process)", 60),
        (panels[1], "peak_mb", 1e-3, "peak memory, GB (process tree)", 4),
    ):
        for kind, label in LABELS.items():
            sizes, values = series(rows, kind, value)
            panel.plot(sizes, [v * unit for v in values], "o-", label=label)
        panel.axhline(bound, color="grey", linestyle=":", linewidth=1)
        panel.set(xscale="log", xlabel="samples", title=title)
        panel.set_ylim(bottom=0)
        panel.title.set_fontsize(10)
    panels[0].legend(fontsize=8)
    figure.savefig(path, metadata={"Date": None})


def series(
    rows: Sequence[Mapping[str, Any]], kind: tuple[str, int], value: str
) -> tuple[list[int], list[float]]:
    """Samples and medians of `value` of one kind of start."""
    own = [row for row in rows if (row["loader"], row["workers"]) == kind]
    sizes = sorted({row["samples"] for row in own})
    return sizes, [median(row[value] for row in own if row["samples"] == size) for size in sizes]


if __name__ == "__main__":
    draw(json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2]))
