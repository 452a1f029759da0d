"""From real sources to shards and the page, as a user types it: all samples and captions are accounted for.

VECLIP_KEEP_PAGES names a folder where the pages stay, to be looked at.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from build_corpus import metadata_of, run_command
from recaption_kit import rows_of
from sources_kit import shared_data
from stub_server import good, number, serving

from benchmarks.answering_server import Answer

# What models do now and then.
LAPSES = (
    Answer("I am sorry, but I cannot describe this."),
    Answer("The image shows a man in a garden."),
    Answer("a dog a dog a dog a dog a dog a dog"),
    Answer("Sure, here is the caption: A red car in a street."),
)


def mostly_good(asked: dict[str, Any]) -> Answer:
    """Every twelfth answer is a lapse, whatever is asked."""
    n = number(asked)
    return good(asked) if n % 12 else LAPSES[n // 12 % len(LAPSES)]


def run(*words: object) -> str:
    done = run_command(*map(str, words))
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("name", "count"),
    [
        pytest.param("cc12m/00000.tar", 32, marks=pytest.mark.slow),
        pytest.param("cc_web", 700, marks=pytest.mark.slow),
    ],
)
def test_from_source_to_shards_and_page(name: str, count: int, tmp_path: Path) -> None:
    source, ledger, shards = shared_data(name), tmp_path / "ledger", tmp_path / "shards"
    with serving(mostly_good) as stub:
        words = ["recaption", source, "--mode", "all", "--base-url", stub.url, "--out", ledger]
        said = run(*words, "--max-failures", "20%")
        assert "distinct 2-grams" in said
        assert "nothing to do" in run(*words, "--max-failures", "20%")
        assert max(stub.asked.values()) == 1
    made = {source: json.loads((ledger / source / "ledger.json").read_bytes()) for source in ("vec", "vecap")}
    for description in made.values():
        counts = description["counts"]
        assert counts["seen"] == count == counts["out"] + counts["duplicates"] + rejected(counts)
    run("shard", source, "--captions", ledger, "--out", shards)
    run("verify", shards)
    metadata = metadata_of(shards)
    assert metadata["sources"] == ["alttext", "vec", "vecap"]
    for source, found in metadata["coverage"].items():
        with_text = {row.key for row in rows_of(ledger, source) if row.text}
        assert found["matched"] + found["missing"] == metadata["counts"]["out"]
        assert found["matched"] + found["extra"] == len(with_text)
        assert found["matched"] == metadata["captions"][source]["captions"] > 0.9 * count
        assert found["conflicting"] == 0
    out = {row["key"] for row in pq.read_table(shards / "rejects.parquet").to_pylist()}
    assert metadata["coverage"]["vecap"]["extra"] <= len(out)
    page = Path(os.environ.get("VECLIP_KEEP_PAGES", tmp_path)) / f"{Path(name).parts[0]}.html"
    shown = run("inspect", shards, "--html", page, "--captions", ledger)
    assert f"{metadata['counts']['out']:,} samples" in shown
    block = re.search(r'id="data">(.*?)</script>', page.read_text(encoding="utf-8"), re.DOTALL)
    assert block is not None
    samples = json.loads(block[1])["samples"]
    assert len(samples) == metadata["counts"]["out"]
    assert sum(bool(sample["image"]) for sample in samples) > 0.95 * len(samples)


def rejected(counts: dict[str, Any]) -> int:
    return sum(counts["rejected_by_code"].values())
