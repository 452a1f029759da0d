"""The loss curves of both trainers and the ratios of their speed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.training.compare import Comparison
from benchmarks.training.report import Key
from benchmarks.training.rounds import Run
from benchmarks.training.task import OURS, THEIRS

COLOURS = {OURS: "#4c78a8", THEIRS: "#f58518"}
SMOOTH = 20  # parts that a curve is drawn with


def draw(runs: Mapping[Key, Sequence[Run]], found: Mapping[Key, Comparison], target: Path) -> None:
    """One panel of curves for the first model and context, one of ratios for all."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "training"  # the same figures give the same file
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(10, 3.8), layout="constrained")
    (model, context), first = next(iter(runs.items()))
    _curves(left, first)
    left.set(xlabel="step", ylabel="training loss", title=f"{model}, context {context}")
    names = [f"{m}, {c}" for m, c in found]
    for offset, (label, ratios) in enumerate(
        (("steps a second", [c.ratios for c in found.values()]),
         ("steps a CPU second", [c.cpu_ratios for c in found.values()]))
    ):  # fmt: skip
        for at, values in enumerate(ratios):
            height = at + 0.3 * offset - 0.15
            right.plot(
                values, [height] * len(values), "o", color=f"C{offset}", label=label if at == 0 else None
            )
    right.axvline(1, color="black", linewidth=0.8)
    right.set_yticks(range(len(names)), names)
    right.set(xlabel="ours over open_clip's, one dot a round", title="speed")
    right.legend(fontsize=8)
    figure.savefig(target, metadata={"Date": None})
    pyplot.close(figure)


def _curves(panel: Any, runs: Sequence[Run]) -> None:
    labelled = set()
    for run in runs:
        steps = sorted(run.log.losses)
        size = max(1, len(steps) // SMOOTH)
        groups = [steps[at : at + size] for at in range(0, len(steps) - size + 1, size)]
        middle = [sum(group) / len(group) for group in groups]
        losses = [sum(run.log.losses[step] for step in group) / len(group) for group in groups]
        label = None if run.trainer in labelled else run.trainer
        panel.plot(middle, losses, color=COLOURS[run.trainer], linewidth=1, label=label)
        labelled.add(run.trainer)
    panel.legend(fontsize=8)
