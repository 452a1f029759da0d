"""What the user sees at the end of a run of scores."""

from __future__ import annotations

from engine.build.card import meaning
from engine.build.report import coverage_row
from engine.captions.histogram import spread
from engine.scoring.counts import ScoreCounts
from engine.scoring.run import Result
from engine.ui import duration, size, table


def summary(result: Result, seconds: float) -> str:
    """The last words of a run."""
    counts = result.counts
    if result.finished_before:
        end = "finished before, with the same model, captions and inputs; nothing to do"
    elif result.units_before:
        end = (
            f"finished in {duration(seconds)} ({result.units_before:,} of {result.units:,} units were scored "
            "by an earlier run)"
        )
    else:
        images, captions = (n / max(seconds, 1e-3) for n in (counts.samples.seen, counts.captions))
        end = f"finished in {duration(seconds)} ({images:,.1f} images/s, {captions:,.1f} captions/s)"
    scorer = result.scorer
    model = f"{scorer['model']} ({scorer['id']}), {scorer['precision']}"
    return "\n".join([table(_rows(result)), f"  {model}", f"{result.folder}: {end}"])


def _rows(result: Result) -> list[tuple[str, ...]]:
    counts = result.counts.samples
    rows: list[tuple[str, ...]] = [
        ("in", f"{counts.seen:,}", f"samples, {size(counts.bytes_in)} of image files"),
        ("out", f"{counts.out:,}", "samples with scores"),
        ("rejected", f"{counts.rejected:,}", "see rejects.parquet"),
        *((f"  {code}", f"{n:,}", meaning(code)) for code, n in sorted(counts.rejected_by_code.items())),
        *_source_rows(result.counts),
        *(coverage_row(source, found) for source, found in result.coverage.items()),
    ]
    dropped = sorted(counts.dropped_captions_by_code.items())
    return rows + [(f"  {code}", f"{n:,}", f"captions: {meaning(code)}") for code, n in dropped]


def _source_rows(counts: ScoreCounts) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for name, source in counts.sources.items():
        rows.append((name, f"{source.scored:,}", f"of {source.captions:,} captions; {spread(source.bins)}"))
        if source.cut:
            rows.append(
                ("  cut", f"{source.cut:,}", "longer than the model reads: scored by their beginning")
            )
    return rows
