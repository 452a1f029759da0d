"""What the user sees of a run: a progress line, and tables at the end."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from engine.build.card import meaning
from engine.build.units import Status
from engine.captions.grounding import GRAMS, Variety
from engine.captions.ledger import source_folder
from engine.recap.codes import status_meaning
from engine.recap.counts import Counts
from engine.recap.run import Result
from engine.ui import Progress, bar, duration, table

_FALLBACKS = {
    "asked_for": "the caption asked for",
    "vec_alone": "VeCap written from VeC alone",
    "vec": "VeC itself",
    "alttext": "AltText itself",
    "none": "no caption",
}


class ProgressReport(Progress):
    """Draws the state of a run; speeds are those of this run, without what an earlier run did."""

    def show(self, status: Status[Counts]) -> None:
        """Draws one state."""
        counts = status.counts
        samples, tokens = self.rates(status.phase, counts.seen, counts.completion_tokens)
        fell_back = counts.out - counts.fallbacks.get("asked_for", 0)
        self.update(
            f"{status.phase} {bar(status.units_done, status.units)} units  {counts.seen:,} samples  "
            f"{samples:,.1f}/s  {tokens:,.0f} tokens/s  {fell_back:,} fallbacks  {counts.rejected:,} rejected"
        )


def summary(result: Result, ledger: Path, seconds: float) -> str:
    """The last words about one source."""
    folder = source_folder(ledger, result.source)
    if result.finished_before:
        return f"{folder}: finished before, with the same options and inputs; nothing to do"
    if result.units_before:
        speed = f"{result.units_before:,} of {result.units:,} units were made by an earlier run"
    else:
        speed = f"{result.counts.seen / max(seconds, 1e-3):,.1f} samples/s"
    return "\n".join([counts_table(result.counts), f"{folder}: finished in {duration(seconds)} ({speed})"])


def counts_table(counts: Counts) -> str:
    """All counts, each with its meaning."""
    rows: list[tuple[str, ...]] = [
        ("in", f"{counts.seen:,}", "samples"),
        ("out", f"{counts.out:,}", f"rows of the ledger, {counts.texts:,} with a caption"),
        *_by_name(counts.fallbacks, _FALLBACKS),
        ("by status", f"{counts.out:,}", "rows: ok, mended, or why the first request gave no caption"),
        *_rates(counts.status),
        ("duplicates", f"{counts.duplicates:,}", "same key, kept once"),
        ("rejected", f"{counts.rejected:,}", "see rejects.parquet"),
        *((f"  {code}", f"{n:,}", meaning(code)) for code, n in sorted(counts.rejected_by_code.items())),
        ("answers", f"{counts.attempts:,}", f"{counts.asked:,} in this run, by the code of their check:"),
        *_rates(counts.answers),
        ("tokens", f"{counts.completion_tokens:,}", f"written; {counts.prompt_tokens:,} read"),
    ]
    if counts.alttext_cut:
        rows.append(("cut", f"{counts.alttext_cut:,}", "AltTexts to the token limit"))
    if counts.spare:
        rows.append(
            ("spare", f"{counts.spare:,}", "answers for keys that an earlier unit turned out to have")
        )
    if counts.repeated:
        rows.append(("repeats", f"{counts.repeated:,}", "requests sent again after an engine's failure"))
    return "\n".join([table(rows), *_grounding(counts.grounding)])


def _grounding(sums: Mapping[str, int]) -> list[str]:
    """How far captions keep to AltText and VeC, before and after; see `engine.captions.grounding`."""
    captions = sums.get("captions", 0)
    if not captions:
        return []

    def share(part: str, whole: str) -> str:
        return f"{100 * sums.get(part, 0) / sums[whole]:.1f} %" if sums.get(whole) else "-"

    def words(name: str) -> str:
        return f"{sums.get(name, 0) / captions:.1f}"

    kept = (share(f"{name}_nouns_kept", f"{name}_nouns") for name in ("alttext", "vec"))
    rows: list[tuple[str, ...]] = [
        ("", "AltText", "VeC", "caption"),
        ("nouns kept", *kept, ""),
        ("nouns in neither", "", "", share("new_nouns", "nouns")),
        ("captions with such nouns", "", "", share("captions_with_new_nouns", "captions")),
        ("words", words("alttext_words"), words("vec_words"), words("words")),
    ]
    for n in GRAMS:
        shares = (share(f"{name}_{n}grams_distinct", f"{name}_{n}grams") for name in Variety.NAMES)
        rows.append((f"distinct {n}-grams", *shares))
    return ["  captions and what they were made from:", table(rows, "    ")]


def _by_name(counts: Mapping[str, int], meanings: Mapping[str, str]) -> list[tuple[str, ...]]:
    return [(f"  {name}", f"{counts[name]:,}", text) for name, text in meanings.items() if name in counts]


def _rates(counts: Mapping[str, int]) -> list[tuple[str, ...]]:
    """Codes, the most frequent first, each with its share and meaning."""
    falling = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    whole = max(1, sum(counts.values()))
    return [(f"  {code}", f"{n:,} ({100 * n / whole:.1f} %)", status_meaning(code)) for code, n in falling]
