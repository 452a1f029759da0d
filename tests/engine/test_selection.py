"""Scores of ledgers in shards, and what is left out by them: nothing silently, nothing by a wrong score."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from build_corpus import jpeg, metadata_of, run_command
from hypothesis import given, settings
from hypothesis import strategies as st
from test_join import row, write_ledger

from engine.build.budget import Budget
from engine.build.card import CARD_HASH
from engine.build.options import BuildOptions
from engine.build.rejects import read_rejects
from engine.build.report import summary
from engine.build.run import Result, RunOptions, build
from engine.build.samples import content_hash
from engine.build.verification import verify
from engine.captions import tables
from engine.captions.parts import describe_part
from engine.captions.score_index import ScoreIndex, build_score_index
from engine.captions.scores import SCORES_FORMAT, SCORES_NAME, ScoreRow, ScoreWriter, open_scores, text_hash
from engine.captions.selection import ALL, Selection
from engine.captions.share import thresholds
from engine.errors import UserError
from engine.native import commit_file, hash_file
from engine.page.inputs import Choice, dataset_page, ledger_page
from engine.shards.reader import open_dataset
from engine.sources import SourceOptions, open_source

SAMPLES = 20


def scored(key: str, image: bytes, source: str, text: str, value: float | None) -> ScoreRow:
    status = "not_finite" if value is None else "ok"
    return ScoreRow(key, content_hash(image), source, text_hash(text), "1" * 16, value, status, 5, False)


def write_scores(ledger: Path, rows: Sequence[ScoreRow], name: str = "clip", scorer: str = "1" * 16) -> Path:
    folder = ledger / "scores" / f"{name}-0"
    folder.mkdir(parents=True)
    with ScoreWriter(folder / "00000.parquet") as writer:
        for item in rows:
            writer.add(item)
    metadata = {
        "format": SCORES_FORMAT, "scorer": {"model": name, "id": scorer},
        "parts": [describe_part(folder / "00000.parquet")],
    }  # fmt: skip
    commit_file(folder / SCORES_NAME, json.dumps(metadata).encode())
    return ledger


def alttexts(n: int) -> list[str]:
    return [f"first of {n}", f"second of {n}", f"third of {n}"]


def value(n: int, at: int) -> float:
    """Sample n's best AltText is at place n % 3 and has (n + 10) / 100."""
    return (n + 10 - (0 if at == n % 3 else 3 + at)) / 100


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Twenty samples of three AltTexts in a parquet file, the last one with a broken image."""
    images = [jpeg(n) for n in range(SAMPLES)]
    images[-1] = images[-1][:300]
    columns = {
        "key": [f"k{n}" for n in range(SAMPLES)],
        "id": [f"other{n}" for n in range(SAMPLES)],
        "image": images,
        "caption": [alttexts(n) for n in range(SAMPLES)],
    }
    pq.write_table(pa.table(columns), tmp_path / "data.parquet")
    return tmp_path / "data.parquet"


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    """VeCap of the first ten samples, and scores of everything but sample 5's AltTexts."""
    folder = write_ledger(tmp_path / "ledger", [row(f"k{n}", f"fused {n}") for n in range(10)])
    rows = [
        scored(f"k{n}", jpeg(n), "alttext", text, value(n, at))
        for n in range(SAMPLES)
        for at, text in enumerate(alttexts(n))
        if n != 5
    ]
    rows += [scored(f"k{n}", jpeg(n), "vecap", f"fused {n}", 0.5 if n else None) for n in range(10)]
    return write_scores(folder, rows)


def shard(data: Path, out: Path, *ledgers: Path, **changes: Any) -> Result:
    captions = {"alttext": "caption"}
    source = SourceOptions((str(data),), captions=captions, key_column="key", without_captions=bool(ledgers))
    options = BuildOptions(source, ledgers=tuple(map(str, ledgers)), **changes)
    return build(open_source(source), options, RunOptions(out, 1, "inline", Budget(1.0)))


def samples_of(out: Path) -> dict[str, dict[str, list[tuple[str, float]]]]:
    dataset, found = open_dataset(out), {}
    for at in range(len(dataset)):
        sample = dataset.sample(at)
        scores = iter(sample["scores"].tolist())
        found[sample["key"]] = {
            source: [(text, next(scores)) for text in texts] for source, texts in sample["captions"].items()
        }
    return found


def check(out: Path) -> dict[str, Any]:
    """The dataset is sound, and every sample is accounted for."""
    *_, findings = verify(out, 1)
    assert findings.problems == []
    counts = metadata_of(out)["counts"]
    assert counts["in"] == SAMPLES == counts["out"] + counts["rejected"] + counts["duplicates"]
    assert len(list(read_rejects(out / "rejects.parquet"))) == counts["rejected"]
    return dict(counts)


def test_every_caption_gets_its_own_score(data: Path, ledger: Path, tmp_path: Path) -> None:
    result = shard(data, tmp_path / "out", ledger)
    counts, found = check(tmp_path / "out"), samples_of(tmp_path / "out")
    assert counts["rejected_by_code"] == {"truncated": 1}
    for n in range(SAMPLES - 1):
        scores = [value for _, value in found[f"k{n}"]["alttext"]]
        wanted = [math.nan] * 3 if n == 5 else np.float32([value(n, at) for at in range(3)])
        assert np.array_equal(scores, wanted, equal_nan=True)
    assert [found[f"k{n}"]["vecap"][0][1] for n in (1, 9)] == [0.5, 0.5]
    assert math.isnan(found["k0"]["vecap"][0][1]), "no number is no score"
    metadata = metadata_of(tmp_path / "out")
    assert metadata["has_scores"]
    assert metadata["scores"]["scored"] == {"alttext": 3 * 18, "vecap": 9}
    assert metadata["scores"]["bins"]["vecap"] == {"0.50": 9}
    assert metadata["scores"]["runs"][0]["scorer"]["model"] == "clip"
    assert "vecap, scores" in summary(result, tmp_path / "out", 1.0)
    assert "CLIP scores: by clip" in (tmp_path / "out" / "README.md").read_text()


def test_verify_notices_scores_that_are_not_those_of_dataset_json(
    data: Path, ledger: Path, tmp_path: Path
) -> None:
    shard(data, tmp_path / "out", ledger)
    described = json.loads((tmp_path / "out" / "dataset.json").read_text())
    described["scores"]["bins"]["vecap"] = {"0.51": 9}
    before, path = hash_file(tmp_path / "out" / "dataset.json", CARD_HASH), tmp_path / "out" / "dataset.json"
    path.write_text(json.dumps(described, indent=1, ensure_ascii=False))  # of the same size
    card = tmp_path / "out" / "README.md"
    card.write_text(card.read_text().replace(before, hash_file(path, CARD_HASH)))
    *_, findings = verify(tmp_path / "out", 1)
    assert any("scores.bins" in problem for problem in findings.problems)


def test_a_text_or_image_that_changed_has_no_score(data: Path, ledger: Path, tmp_path: Path) -> None:
    """The same keys and sources, other texts for sample 1, another image for sample 2."""
    rows = pq.read_table(data).to_pydict()
    rows["caption"][1][2] += "!"
    rows["image"][2] = jpeg(1000)
    pq.write_table(pa.table(rows), tmp_path / "changed.parquet")
    shard(tmp_path / "changed.parquet", tmp_path / "out", ledger)
    found = samples_of(tmp_path / "out")
    assert [math.isnan(score) for _, score in found["k1"]["alttext"]] == [False, False, True]
    assert all(math.isnan(score) for _, score in found["k2"]["alttext"])
    assert not any(math.isnan(score) for _, score in found["k3"]["alttext"])


def test_other_keys_and_names_keep_their_scores(data: Path, ledger: Path, tmp_path: Path) -> None:
    source = SourceOptions((str(data),), captions={"web": "caption"}, key_column="id")
    options = BuildOptions(source, ledgers=(str(ledger),))
    build(open_source(source), options, RunOptions(tmp_path / "out", 1, "inline", Budget(1.0)))
    scores = metadata_of(tmp_path / "out")["scores"]["scored"]
    assert scores == {"web": 3 * 18, "vecap": 0}


def test_the_best_captions_of_a_source_or_of_the_sample(data: Path, ledger: Path, tmp_path: Path) -> None:
    shard(data, tmp_path / "a", ledger, selection=Selection(keep_top={"alttext": 1}))
    found, counts = samples_of(tmp_path / "a"), check(tmp_path / "a")
    for n in range(SAMPLES - 1):
        best = 0 if n == 5 else n % 3  # without scores the first one stays
        assert [text for text, _ in found[f"k{n}"]["alttext"]] == [alttexts(n)[best]]
        assert len(found[f"k{n}"]["vecap"]) == (n < 10)
    assert counts["dropped_captions_by_code"] == {"caption_not_top": 2 * 19}
    shard(data, tmp_path / "b", ledger, selection=Selection(keep_top={ALL: 2}))
    found = samples_of(tmp_path / "b")
    assert all(sum(map(len, captions.values())) == 2 for captions in found.values())
    assert [text for text, _ in found["k4"]["alttext"]] == [alttexts(4)[1]]
    coverage = metadata_of(tmp_path / "b")["coverage"]["vecap"]
    assert (coverage["matched"], coverage["extra"]) == (10, 0), "it was there before the choice"
    assert metadata_of(tmp_path / "b")["captions"]["vecap"]["samples"] == 9  # the one without a number lost


def test_captions_under_a_score(data: Path, ledger: Path, tmp_path: Path) -> None:
    rules = Selection(min_score={ALL: 0.12, "vecap": 0.6})
    shard(data, tmp_path / "out", ledger, selection=rules)
    counts, found = check(tmp_path / "out"), samples_of(tmp_path / "out")
    kept = {n: [at for at in range(3) if np.float32(value(n, at)) >= 0.12] for n in range(19) if n != 5}
    assert sorted(found) == sorted(f"k{n}" for n, places in kept.items() if places)
    for n, places in kept.items():
        if places:
            assert [text for text, _ in found[f"k{n}"]["alttext"]] == [alttexts(n)[at] for at in places]
            assert found[f"k{n}"]["vecap"] == []
    # Samples 0 and 1 have no AltText of such a score, sample 5 and the file cut off none with a score.
    assert counts["rejected_by_code"] == {"caption_low_score": 2, "caption_no_score": 2}
    assert counts["dropped_captions_by_code"].keys() == {"caption_low_score"}


def test_samples_under_a_score(data: Path, ledger: Path, tmp_path: Path) -> None:
    shard(data, tmp_path / "out", ledger, selection=Selection(min_sample_score={"alttext": 0.2}))
    counts, found = check(tmp_path / "out"), samples_of(tmp_path / "out")
    assert sorted(found) == sorted(f"k{n}" for n in range(SAMPLES - 1) if np.float32(value(n, n % 3)) >= 0.2)
    assert all(len(captions["alttext"]) == 3 for captions in found.values())
    assert counts["rejected_by_code"]["sample_no_score"] == 1 + 1  # sample 5, and the file cut off
    rejects = {reject.key: reject for reject in read_rejects(tmp_path / "out" / "rejects.parquet")}
    assert rejects["k5"].message == "no caption of alttext has a score"
    assert rejects["k0"].message == "the best score of alttext is 0.1000, under 0.2000"
    # The best of all sources: VeCap keeps the first ten, but for the one without a number.
    shard(data, tmp_path / "all", ledger, selection=Selection(min_sample_score={ALL: 0.2}))
    assert {f"k{n}" for n in range(1, 10)} <= samples_of(tmp_path / "all").keys()
    assert "k0" not in samples_of(tmp_path / "all")


def test_a_share_of_the_samples(data: Path, ledger: Path, tmp_path: Path) -> None:
    shard(data, tmp_path / "out", ledger, selection=Selection(top_share={"alttext": 0.5}))
    check(tmp_path / "out")
    # 19 samples have scores of AltText, the broken one among them: the better 10 stay, that one without.
    assert sorted(samples_of(tmp_path / "out")) == sorted(f"k{n}" for n in range(10, 19))
    assert metadata_of(tmp_path / "out")["scores"]["top_share_scores"] == {"alttext": float(np.float32(0.2))}


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.lists(st.integers(-3, 3), min_size=1, max_size=3), min_size=1, max_size=40),
    st.floats(0.01, 1),
)
def test_a_share_keeps_the_best_and_ties(
    tmp_path_factory: pytest.TempPathFactory, scores: list[list[int]], part: float
) -> None:
    ledger = tmp_path_factory.mktemp("share")
    rows = [
        scored(f"k{n}", b"", "x", f"{n}{at}", s / 4)
        for n, own in enumerate(scores)
        for at, s in enumerate(own)
    ]
    write_scores(ledger, rows)
    threshold = thresholds(open_scores([ledger]), {"x": part, ALL: part})
    best = sorted((max(own) / 4 for own in scores), reverse=True)
    wanted = best[math.ceil(part * len(best)) - 1]
    assert threshold == {"x": wanted, ALL: wanted}


def test_a_share_of_a_source_without_scores_is_refused(ledger: Path) -> None:
    with pytest.raises(UserError, match=r"--top-share vec: .* no scores of it"):
        thresholds(open_scores([ledger]), {"vec": 0.3})


def test_the_table_finds_every_pair_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "ROWS_AT_ONCE", 7)
    rows = [scored(f"k{n}", b"%d" % (n % 50), "a", f"text {n}", n / 100) for n in range(100)]
    write_scores(tmp_path / "a", rows[:60])
    write_scores(tmp_path / "b", [replace(rows[3], score=0.9), *rows[60:], scored("k", b"x", "a", "t", None)])
    build_score_index(tmp_path / "table", open_scores([tmp_path / "a", tmp_path / "b"]))
    index = ScoreIndex(tmp_path / "table")
    for n, item in enumerate(rows):
        wanted = 0.9 if n == 3 else n / 100
        assert index.find(item.content_hash, [f"text {n}"]) == [pytest.approx(wanted)]
        assert index.find(item.content_hash, [f"text {n + 1}", "", f"text {n} "]) == [None] * 3
    assert index.find(content_hash(b"x"), ["t"]) == [None]


def test_scores_of_two_models_or_of_input_and_ledger_do_not_mix(
    data: Path, ledger: Path, tmp_path: Path
) -> None:
    write_scores(ledger, [scored("k1", jpeg(1), "vecap", "fused 1", 0.1)], "other", "2" * 16)
    with pytest.raises(UserError, match="scores of several models"):
        shard(data, tmp_path / "out", ledger)
    shard(data, tmp_path / "out", ledger, scorer="other")
    assert metadata_of(tmp_path / "out")["scores"]["scored"] == {"alttext": 0, "vecap": 1}
    with pytest.raises(UserError, match="other options or inputs"):
        shard(data, tmp_path / "out", ledger, scorer="clip")
    source = SourceOptions((str(data),), captions={"alttext": "caption"}, scores={"alttext": "caption"})
    options = BuildOptions(source, ledgers=(str(ledger),), scorer="clip")
    with pytest.raises(UserError, match="--score: the ledgers have scores too"):
        build(open_source(source), options, RunOptions(tmp_path / "x", 1, "inline"))


def test_rules_without_scores_or_for_unknown_sources_are_refused(
    data: Path, ledger: Path, tmp_path: Path
) -> None:
    plain = write_ledger(tmp_path / "plain", [row("k1", "fused")])
    with pytest.raises(UserError, match=r"--min-score: needs scores; .*engine\.score"):
        shard(data, tmp_path / "out", plain, selection=Selection(min_score={ALL: 0.1}))
    with pytest.raises(UserError, match=r"--keep-top alttxt: .*did you mean alttext"):
        shard(data, tmp_path / "out", ledger, selection=Selection(keep_top={"alttxt": 1}))
    with pytest.raises(UserError, match=r"--scorer: .*--captions"):
        shard(data, tmp_path / "out", scorer="clip")
    assert not (tmp_path / "out").exists()


def test_scores_of_the_input_can_select_too(tmp_path: Path) -> None:
    """NaN among them is a score that is not known; infinity is no score."""
    scores = [[0.1, 0.3], [0.2, math.nan], [math.nan, math.nan], [math.inf, 0.5]]
    columns = {
        "key": [f"k{n}" for n in range(4)],
        "image": [jpeg(n) for n in range(4)],
        "caption": [["x", "y"]] * 4,
        "similarity": scores,
    }
    pq.write_table(pa.table(columns), tmp_path / "data.parquet")
    source = SourceOptions(
        (str(tmp_path / "data.parquet"),), captions={"alttext": "caption"}, scores={"alttext": "similarity"},
        key_column="key",
    )  # fmt: skip
    options = BuildOptions(source, selection=Selection(min_score={ALL: 0.2}))
    build(open_source(source), options, RunOptions(tmp_path / "out", 1, "inline", Budget(1.0)))
    found = samples_of(tmp_path / "out")
    assert {key: [text for text, _ in own["alttext"]] for key, own in found.items()} == {
        "k0": ["y"],
        "k1": ["x"],
    }
    counts = metadata_of(tmp_path / "out")["counts"]
    assert counts["rejected_by_code"] == {"bad_score": 1, "caption_no_score": 1}
    options = BuildOptions(source, selection=Selection(top_share={ALL: 0.2}))
    with pytest.raises(UserError, match=r"--top-share: needs the scores of a ledger"):
        build(open_source(source), options, RunOptions(tmp_path / "x", 1, "inline"))


def test_the_command_accounts_for_what_it_leaves_out(data: Path, ledger: Path, tmp_path: Path) -> None:
    words = [str(data), "--caption", "alttext=caption", "--key-column", "key", "--captions", str(ledger)]
    words += ["--out", str(tmp_path / "out"), "--max-failures", "100%", "--workers", "1"]
    done = run_command("shard", *words, "--min-sample-score", "alttext=0.2", "--keep-top", "alttext=1")
    assert done.returncode == 0, done.stderr
    assert "sample_low_score" in done.stdout
    assert "caption_not_top" in done.stdout
    check(tmp_path / "out")
    wrong = run_command("shard", *words, "--keep-top", "best")
    assert (wrong.returncode, "expected a number of captions" in wrong.stderr) == (1, True)


def page_data(page: Path) -> dict[str, dict[str, Any]]:
    found = re.search(r'id="data">(.*?)</script>', page.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    samples = json.loads(found[1])["samples"]
    return {row["key"]: {caption["text"]: caption for caption in row["captions"]} for row in samples}


def test_the_page_shows_scores(data: Path, ledger: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    ledger_page(page, [ledger], Choice())
    captions = page_data(page)
    assert captions["k3"]["fused 3"]["score"] == 0.5
    assert "score" not in captions["k0"]["fused 0"]
    shard(data, tmp_path / "out", ledger)
    dataset_page(page, open_dataset(tmp_path / "out"), [ledger], Choice())
    captions = page_data(page)
    assert captions["k3"]["fused 3"]["score"] == 0.5
    assert captions["k3"]["first of 3"]["score"] == round(value(3, 0), 4)
    write_scores(ledger, [scored("k3", jpeg(3), "vecap", "fused 3", 0.1)], "other", "2" * 16)
    ledger_page(page, [ledger], Choice())
    details = page_data(page)["k3"]["fused 3"]["details"]
    assert (details["score by clip"], details["score by other"]) == ("0.5000", "0.1000")
    alone = write_scores(tmp_path / "alone", [scored("k3", jpeg(3), "vecap", "fused 3", 0.1)])
    with pytest.raises(UserError, match="holds scores alone"):
        ledger_page(page, [alone], Choice())
