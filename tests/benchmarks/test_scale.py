"""Start-up does not grow with the samples: bounds on processor time and memory for an index of 3 million."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from benchmarks.scale import Row, line, measure
from benchmarks.scale_chart import draw, series
from benchmarks.scale_corpus import SAMPLES_PER_SHARD, make_corpus
from benchmarks.scale_memory import run_measured

SHARDS = 1400
# Importing torch and Streaming takes 4 to 5 s and 0.6 GB of these; memory-mapped shards count as memory too.
MOST_CPU_S, MOST_MB = 15.0, 1500


@pytest.fixture(scope="module")
def row(tmp_path_factory: pytest.TempPathFactory) -> Row:
    folder = tmp_path_factory.mktemp("scale") / "data"
    samples = make_corpus(folder, SHARDS)
    assert samples == SHARDS * SAMPLES_PER_SHARD == len(list(folder.rglob("*.mds"))) * SAMPLES_PER_SHARD
    return measure(folder, samples, "ours", 0)


def test_three_million_samples_start_within_bounds(row: Row) -> None:
    assert (row.shards, row.samples) == (SHARDS, 3_000_200)
    assert 0 < row.imported_s <= row.opened_s <= row.first_batch_s
    assert row.cpu_s < MOST_CPU_S
    assert row.peak_mb < MOST_MB


@pytest.mark.slow
def test_three_hundred_million_samples_start_within_the_promised_bounds(tmp_path: Path) -> None:
    """60 s and 4 GB on two cores. A busy clock says little: processor time stands for it."""
    samples = make_corpus(tmp_path / "data", 140_000)
    found = measure(tmp_path / "data", samples, "ours", 0)
    assert found.samples > 300_000_000
    assert found.cpu_s < 60
    assert found.peak_mb < 4000


def test_memory_counts_descendants() -> None:
    grow = "import time; block = b'x' * 100_000_000; time.sleep(0.5)"
    child = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {grow!r}])"
    output, peak = run_measured([sys.executable, "-c", child + "; print('done')"], 60)
    assert output == "done\n"
    assert 100e6 < peak < 200e6
    with pytest.raises(RuntimeError, match="exit code 3"):
        run_measured([sys.executable, "-c", "raise SystemExit(3)"], 60)
    with pytest.raises(RuntimeError, match="exit code -9"):
        run_measured([sys.executable, "-c", "import time; time.sleep(60)"], 0.3)


def test_the_chart_shows_medians(row: Row, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    rows = [asdict(row) | {"samples": n, "peak_mb": mb} for n, mb in ((10, 1), (10, 5), (10, 2), (100, 7))]
    assert series(rows, ("ours", 0), "peak_mb") == ([10, 100], [2, 7])
    draw(json.loads(json.dumps(rows)), tmp_path / "chart.svg")
    assert "this loader" in (tmp_path / "chart.svg").read_text()
    assert "3,000,200" in line(row)
