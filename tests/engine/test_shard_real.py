"""Real folders are sharded without a hand's help: no option but --out, all accounted for, verified."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest
from build_corpus import metadata_of, run_command
from sources_kit import shared_data

from engine.native import Status
from engine.records import REJECT_CODES, native_code

KNOWN_CODES = {*REJECT_CODES, *(native_code(name) for name in Status.__members__)}


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("cc12m/00000.tar", 32),
        ("coco", 60),
        pytest.param("cc_web", 700, marks=pytest.mark.slow),
        pytest.param("openstax", 120, marks=pytest.mark.slow),
    ],
)
def test_real_folders_are_sharded(name: str, count: int, tmp_path: Path) -> None:
    done = run_command("shard", shared_data(name), "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    counts = metadata_of(tmp_path / "out")["counts"]
    assert counts["in"] == count == counts["out"] + counts["rejected"] + counts["duplicates"]
    assert counts["out"] > 0.9 * count
    rejects = pq.read_table(tmp_path / "out" / "rejects.parquet").to_pylist()
    assert len(rejects) == counts["rejected"] + counts["duplicates"]
    assert {row["code"] for row in rejects} <= KNOWN_CODES
    assert run_command("verify", tmp_path / "out").returncode == 0
