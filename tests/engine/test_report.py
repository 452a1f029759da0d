"""What a build shows: a progress line with speeds and rejects, and a table that accounts for every sample."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from build_corpus import build_dataset, make_tars

from engine import ui
from engine.build.job import Counts
from engine.build.report import ProgressReport, summary
from engine.build.units import Status


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_progress_names_speeds_and_rejects(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Terminal()
    monkeypatch.setattr("sys.stderr", screen)
    monkeypatch.setattr(ui, "_TERMINAL_S", 0.0)
    with ProgressReport() as report:
        report.show(Status("packing", 4, 0, Counts()))
        counts = Counts(
            seen=1200, out=1190, duplicates=3, bytes_in=5_000_000, rejected_by_code={"truncated": 7}
        )
        report.show(Status("packing", 4, 2, counts))
    line = screen.getvalue().split("\x1b[K")[-2]
    assert "packing [==========>         ] 2/4 units  1,200 samples" in line
    assert re.search(r"[\d,]+/s  [\d.]+ [kMGT]?B/s  7 rejected  3 duplicates", line)


def test_the_summary_accounts_for_every_sample(tmp_path: Path) -> None:
    result = build_dataset(make_tars(tmp_path / "tars", tars=2), tmp_path / "out")
    assert result.totals is not None
    words = summary(result, tmp_path / "out", 1.0)
    number = {
        row.split()[0]: int(row.split()[1]) for row in words.splitlines()[:-1] if row.split()[1].isdigit()
    }
    assert number["in"] == 60 == number["out"] + number["rejected"] + number["duplicates"]
    assert number["rejected"] == sum(number[code] for code in result.totals.counts.rejected_by_code)
    assert set(result.totals.counts.rejected_by_code) <= number.keys()
    again = build_dataset(tmp_path / "tars", tmp_path / "out")
    assert "nothing to do" in summary(again, tmp_path / "out", 1.0)
