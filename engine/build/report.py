"""What the user sees of a build: a progress line, and a table at the end."""

from __future__ import annotations

from pathlib import Path

from engine.build.card import meaning
from engine.build.finish import Totals
from engine.build.job import Counts
from engine.build.run import Result
from engine.build.units import Status
from engine.captions.histogram import spread
from engine.captions.join import Coverage
from engine.ui import Progress, bar, count_of, duration, size, table


class ProgressReport(Progress):
    """Draws the state of a build; speeds are those of this run, without what an earlier run did."""

    def show(self, status: Status[Counts]) -> None:
        """Draws one state."""
        counts = status.counts
        samples, read = self.rates(status.phase, counts.seen, counts.bytes_in)
        self.update(
            f"{status.phase} {bar(status.units_done, status.units)} units  {counts.seen:,} samples  "
            f"{samples:,.0f}/s  {size(read)}/s  "
            f"{counts.rejected:,} rejected  {counts.duplicates:,} duplicates"
        )


def summary(result: Result, out: Path, seconds: float) -> str:
    """The last words of a run."""
    if result.totals is None:
        return f"{out}: finished before, with the same options and inputs; nothing to do"
    speed = f"{result.totals.counts.seen / max(seconds, 1e-3):,.0f} samples/s"
    if result.units_before:
        speed = f"{result.units_before:,} of {result.units:,} units were packed by an earlier run"
    return "\n".join([table(_rows(result.totals)), f"{out}: finished in {duration(seconds)} ({speed})"])


def coverage_row(source: str, found: Coverage) -> tuple[str, str, str]:
    """How the captions of a ledger source met the samples."""
    meaning = (
        f"samples matched by the ledgers, {found.missing:,} missing; {found.extra:,} captions extra, "
        f"{found.conflicting:,} conflicting"
    )
    return f"  {source}", f"{found.matched:,}", meaning


def _rows(totals: Totals) -> list[tuple[str, ...]]:
    counts, contents = totals.counts, totals.contents
    rows: list[tuple[str, ...]] = [
        ("in", f"{counts.seen:,}", f"samples, {size(counts.bytes_in)} of image files")
    ]
    stored = sum(entry.stored.bytes for entry in totals.entries)
    rows.append(
        ("out", f"{counts.out:,}", f"samples in {count_of(len(totals.entries), 'shard')}, {size(stored)}")
    )
    rows.append(("duplicates", f"{counts.duplicates:,}", "same key, kept once"))
    rows.append(("rejected", f"{counts.rejected:,}", "see rejects.parquet"))
    rows += [(f"  {code}", f"{n:,}", meaning(code)) for code, n in sorted(counts.rejected_by_code.items())]
    for source, n in contents.captions.items():
        rows.append((source, f"{n:,}", f"captions of {contents.samples_with[source]:,} samples"))
    rows += [
        (f"  {source}, scores", f"{sum(bins.values()):,}", spread(bins))
        for source, bins in contents.scores.items()
    ]
    rows += [coverage_row(source, found) for source, found in totals.coverage.items()]
    dropped = sorted(counts.dropped_captions_by_code.items())
    rows += [(f"  {code}", f"{n:,}", f"captions: {meaning(code)}") for code, n in dropped]
    return rows
