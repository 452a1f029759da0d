"""Two panels: images a second of the loaders, training's samples a second as a share of the ceiling."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib

from benchmarks.gpu.board import Row
from benchmarks.gpu.figures import Figure, loaders, trainings
from benchmarks.gpu.plan import CEILING

COLOURS = {"native": "#4c78a8", "dali": "#54a24b", "torchvision": "#e45756", "open_clip": "#f58518"}


def draw(rows: Mapping[str, Row], target: Path) -> None:
    """Write the chart; the same rows give the same file."""
    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "gpu"
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
    plain = [f for f in loaders(rows, "loader") if f.choice["dtype"] == "uint8"]
    _bars(
        left,
        [(f"{f.choice['form']}, {f.choice['decoder']}, {f.choice['threads']} threads", f) for f in plain],
        [f.rate for f in plain],
    )
    left.set(xlabel="images/s on the device", title="loaders")
    trained = [f for f in trainings(rows) if f.choice["source"] != CEILING and f.ratio is not None]
    _bars(
        right,
        [(f"{f.choice['model']}, {f.choice['form']}, {f.choice['source']}", f) for f in trained],
        [f.ratio or 0.0 for f in trained],
    )
    right.axvline(1, color="black", linewidth=0.8)
    right.set(xlabel="samples/s over those with one constant batch", title="training")
    figure.savefig(target, metadata={"Date": None})
    pyplot.close(figure)


def _bars(panel: Any, named: Sequence[tuple[str, Figure]], values: Sequence[float]) -> None:
    colours = [COLOURS[f.choice.get("decoder") or f.choice["source"]] for _, f in named]
    panel.barh(range(len(values)), values, color=colours)
    for at, value in enumerate(values):
        panel.text(0, at, f" {value:,.2f}" if value < 10 else f" {value:,.0f}", va="center", fontsize=8)
    panel.set_yticks(range(len(values)), [name for name, _ in named], fontsize=8)
    panel.invert_yaxis()
