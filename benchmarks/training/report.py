"""The comparison as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

from benchmarks.training.compare import Comparison, Gap
from benchmarks.training.task import OURS, THEIRS
from engine.errors import UserError

Key = tuple[str, int]
"""Model and context."""
BEGIN, END = "<!-- tables of benchmarks.training -->", "<!-- end of tables -->"


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


def put_into(path: Path, tables: str, mark: str = BEGIN) -> None:
    """Replaces the tables between the marks of a Markdown file; what stands around them stays."""
    text = path.read_text(encoding="utf-8") if path.exists() else f"{mark}\n{END}\n"
    before, begin, rest = text.partition(mark)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise UserError(f"{path}: has no lines {mark} and {END}, between which the tables stand")
    path.write_text(f"{before}{mark}\n\n{tables}\n{END}{after}", encoding="utf-8")


def _range(values: Sequence[float]) -> str:
    return f"{median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def _gap(gap: Gap, digits: int) -> str:
    if gap.error is None:
        return f"{gap.difference:+.{digits}f} (one seed)"
    verdict = "within noise" if gap.within_noise else "beyond noise"
    return f"{gap.difference:+.{digits}f} ± {gap.error:.{digits}f}, {verdict}"
