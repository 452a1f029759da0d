"""The comparison as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median

from benchmarks.training.compare import Comparison, Gap
from benchmarks.training.task import OURS, THEIRS

Key = tuple[str, int]
"""Model and context."""
BEGIN = "<!-- tables of benchmarks.training -->"


def markdown(found: Mapping[Key, Comparison], machine: str) -> str:
    """Tables of speed, loss and retrieval, a row for each model and context."""
    lines = [
        machine,
        "",
        "| model | context | ours, steps/s | open_clip, steps/s | ratio | CPU ratio | waiting for data |",
        "|---|---:|---:|---:|---|---|---|",
    ]
    for (model, context), c in found.items():
        lines.append(
            f"| {model} | {context} | {c.steps_per_s[OURS]:.3g} | {c.steps_per_s[THEIRS]:.3g} "
            f"| {_range(c.ratios)} | {_range(c.cpu_ratios)} "
            f"| {c.data_wait[OURS]:.1%} and {c.data_wait[THEIRS]:.1%} |"
        )
    lines += [
        "",
        "| model | context | loss, second half | each tenth of the run, in standard errors |",
        "|---|---:|---|---|",
    ]
    for (model, context), c in found.items():
        tenths = " ".join("?" if not g.error else f"{g.difference / g.error:+.1f}" for g in c.curve)
        lines.append(f"| {model} | {context} | {_gap(c.second_half, 3)} | {tenths} |")
    for (model, context), c in found.items():
        if c.recalls:
            recalls = "; ".join(f"{name.replace('_', ' ')}: {_gap(g, 2)}" for name, g in c.recalls.items())
            lines += ["", f"Retrieval in points, {model}, context {context}: {recalls}."]
    return "\n".join([*lines, ""])


def _range(values: Sequence[float]) -> str:
    return f"{median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def _gap(gap: Gap, digits: int) -> str:
    if gap.error is None:
        return f"{gap.difference:+.{digits}f} (one seed)"
    verdict = "within noise" if gap.within_noise else "beyond noise"
    return f"{gap.difference:+.{digits}f} ± {gap.error:.{digits}f}, {verdict}"
