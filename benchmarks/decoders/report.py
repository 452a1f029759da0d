"""Tables of what was compared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from benchmarks.decoders.compare import Result


@dataclass(frozen=True)
class Row:
    """All crops of one form.

    Attributes:
        images: compared; left: of these, decoded by our own core in DALI's place.
        mean, largest: absolute difference of 8-bit values over the others, and over those left.
        psnr_min, psnr_1, psnr_median: dB over the others: least, first percentile, median; None without any.
        worst: name of the image with the least.
    """

    form: str
    images: int
    left: int
    mean: float
    largest: int
    psnr_min: float | None
    psnr_1: float | None
    psnr_median: float | None
    worst: str


def rows(results: Sequence[Result]) -> list[Row]:
    """One row for each form, the most frequent first."""
    forms = Counter(result.form for result in results)
    return [
        _row(form, [result for result in results if result.form == form]) for form, _ in forms.most_common()
    ]


def _row(form: str, results: Sequence[Result]) -> Row:
    by_dali = [result for result in results if not result.left]
    left = len(results) - len(by_dali)
    mean = float(np.mean([result.mean for result in by_dali or results]))
    largest = max(result.largest for result in results)
    if not by_dali:
        return Row(form, len(results), left, mean, largest, None, None, None, "")
    values = [result.psnr for result in by_dali]
    first, median = np.percentile(values, [1, 50]).tolist()
    worst = min(by_dali, key=lambda result: result.psnr)
    return Row(form, len(results), left, mean, largest, worst.psnr, first, median, worst.name)


def reasons(results: Sequence[Result]) -> dict[str, int]:
    """Why images were left to our own core, and how many."""
    return dict(Counter(result.left for result in results if result.left).most_common())


def as_json(results: Sequence[Result]) -> dict[str, object]:
    """The tables of one range of crops."""
    return {"rows": [asdict(row) for row in rows(results)], "left": reasons(results)}


def table(results: Sequence[Result]) -> str:
    """The tables of one range of crops, as Markdown."""
    lines = [
        "| form | images | left to our core | mean | max | PSNR min | 1st percentile | median | worst |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---|",
    ]
    for row in rows(results):
        psnr = [f"{v:.1f}" if v is not None else "" for v in (row.psnr_min, row.psnr_1, row.psnr_median)]
        cells = [row.form, row.images, row.left, f"{row.mean:.3f}", row.largest, *psnr, row.worst]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    why = "; ".join(f"{reason}: {count}" for reason, count in reasons(results).items())
    return "\n".join([*lines, "", f"Left to our own core, and why: {why or 'none'}."])
