"""`engine.shard --captions`: captions meet images by key, and the coverage says how."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from build_corpus import make_tars, metadata_of, options_for

from engine.build.budget import Budget
from engine.build.options import BuildOptions
from engine.build.run import RunOptions, build
from engine.build.samples import content_hash
from engine.captions import tables
from engine.captions.index import CaptionIndex, Found, build_index
from engine.captions.ledger import (
    LEDGER_FORMAT,
    LEDGER_NAME,
    LedgerRow,
    LedgerSource,
    LedgerWriter,
    open_sources,
)
from engine.captions.parts import describe_part
from engine.errors import UserError
from engine.native import commit_file
from engine.records import Record
from engine.shards.reader import open_dataset
from engine.sources import open_source


@pytest.fixture(scope="module")
def tars(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tars(tmp_path_factory.mktemp("tars"), tars=2)


def row(key: str, text: str | None, digest: str = "", source: str = "vecap") -> LedgerRow:
    return LedgerRow(
        key, digest, source, text, "ok", "", "m", "r", "own", "", "paper", "", "{}", 0, "stop", 1, False, 0, 0
    )


def write_ledger(folder: Path, rows: Sequence[LedgerRow]) -> Path:
    import json

    source = folder / rows[0].source
    source.mkdir(parents=True)
    with LedgerWriter(source / "00000.parquet") as writer:
        for item in rows:
            writer.add(item)
    metadata = {
        "format": LEDGER_FORMAT,
        "source": rows[0].source,
        "parts": [describe_part(source / "00000.parquet")],
    }
    commit_file(source / LEDGER_NAME, json.dumps(metadata).encode())
    return folder


def records_of(tars: Path) -> dict[str, Record]:
    source = open_source(options_for(tars).source)
    items = [item for unit in source.units() for item in source.read(unit)]
    return {item.key: item for item in reversed(items) if isinstance(item, Record)}


def shard(tars: Path, out: Path, *ledgers: Path) -> None:
    options: BuildOptions = replace(options_for(tars), ledgers=tuple(map(str, ledgers)))
    build(open_source(options.source), options, RunOptions(out, 1, "inline", Budget(1.0)))


def test_captions_are_joined_by_key_and_every_case_is_counted(tars: Path, tmp_path: Path) -> None:
    records = records_of(tars)
    rows = [row(key, f"fused {key}", content_hash(r.image)) for key, r in records.items() if key != "k1-9"]
    rows = [replace(one, content_hash="f" * 32) if one.key == "k0-9" else one for one in rows]
    ledger = write_ledger(tmp_path / "a", [*rows[::-1], row("nowhere", "a caption of no sample")])
    later = write_ledger(tmp_path / "b", [row("k0-0", "another text"), row("k0-1", "fused k0-1")])
    shard(tars, tmp_path / "out", ledger, later)
    dataset, samples = open_dataset(tmp_path / "out"), {}
    for at in range(len(dataset)):
        sample = dataset.sample(at)
        samples[sample["key"]] = sample["captions"]
    for key, captions in samples.items():
        wanted = {"k0-0": ["another text"], "k0-9": [], "k1-9": []}.get(key, [f"fused {key}"])
        assert captions["vecap"] == wanted
        assert captions["alttext"] == [caption.text for caption in records[key].captions["alttext"]]
    metadata = metadata_of(tmp_path / "out")
    undecodable = len(records) - len(samples)
    assert metadata["coverage"] == {
        "vecap": {
            "matched": len(samples) - 2,
            "missing": 2,
            "extra": 1 + 1 + undecodable,
            "conflicting": 1,
        }
    }
    assert metadata["counts"]["dropped_captions_by_code"]["caption_other_image"] == 1
    assert metadata["sources"] == ["alttext", "vecap"]


def test_a_source_that_the_input_has_is_refused(tars: Path, tmp_path: Path) -> None:
    ledger = write_ledger(tmp_path / "a", [row("k0-0", "a text", source="alttext")])
    with pytest.raises(UserError, match="captions named alttext too"):
        shard(tars, tmp_path / "out", ledger)


def test_a_ledger_with_a_part_cut_short_is_refused(tars: Path, tmp_path: Path) -> None:
    ledger = write_ledger(tmp_path / "a", [row("k0-0", "a text")])
    part = ledger / "vecap" / "00000.parquet"
    part.write_bytes(part.read_bytes()[:-10])
    with pytest.raises(UserError, match=r"00000\.parquet: .* bytes, but ledger\.json says"):
        shard(tars, tmp_path / "out", ledger)


def test_a_moved_ledger_is_the_same_and_another_one_is_not(tars: Path, tmp_path: Path) -> None:
    ledger = write_ledger(tmp_path / "a", [row("k0-0", "a text")])
    shard(tars, tmp_path / "out", ledger)
    shard(tars, tmp_path / "out", ledger.rename(tmp_path / "moved"))
    other = write_ledger(tmp_path / "other", [row("k0-0", "another text")])
    with pytest.raises(UserError, match="other options or inputs"):
        shard(tars, tmp_path / "out", other)


@pytest.mark.parametrize("rows_at_once", [7, 1_000_000])
def test_the_table_finds_every_key_and_no_other(
    tmp_path: Path, rows_at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "ROWS_AT_ONCE", rows_at_once)
    keys = [f"http://host/{n}.jpg" for n in range(200)]
    first = write_ledger(tmp_path / "a", [row(key, f"first {key}", "0" * 15 + "1" * 17) for key in keys])
    second = write_ledger(tmp_path / "b", [row(key, f"second {key}") for key in keys[:50]] + [row("x", None)])
    sources: list[LedgerSource] = open_sources([first, second])["vecap"]
    counts = build_index(tmp_path / "table", sources)
    assert (counts.keys, counts.conflicting) == (200, 50)
    found = CaptionIndex(tmp_path / "table").find([*keys, "nowhere", "x"])
    assert found[-2:] == [None, None]
    assert found[:50] == [Found(f"second {key}", 0) for key in keys[:50]]
    assert found[50:200] == [Found(f"first {key}", 1) for key in keys[50:]]
