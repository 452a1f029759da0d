"""Recaptioning over real HTTP: every sample is accounted for, nothing is asked twice."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from build_corpus import make_tars
from recaption_kit import PLAIN, VEC, VECAP, rows_of, run_stage
from stub_server import Stub, good, serving

from engine.captions.ledger import SCHEMA, open_ledger, read_rows
from engine.captions.words import find_words
from engine.errors import UserError
from engine.recap.codes import REQUEST_STATUS
from engine.recap.host import close_hosts
from engine.recap.report import summary
from engine.recaption import PACKS, main
from engine.records import Reject


@pytest.fixture(scope="module")
def tars(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tars(tmp_path_factory.mktemp("tars"), tars=2)


@pytest.fixture(autouse=True)
def _no_engine_stays() -> Iterator[None]:
    yield
    close_hosts()


@pytest.fixture
def stub() -> Iterator[Stub]:
    with serving(good) as running:
        yield running


def rejects_of(folder: Path) -> list[Reject]:
    return [Reject(**row) for row in pq.read_table(folder / "rejects.parquet").to_pylist()]


def test_every_sample_is_a_row_a_reject_or_a_duplicate(tars: Path, tmp_path: Path, stub: Stub) -> None:
    counts = run_stage(tars, tmp_path, VEC, stub.url).counts
    assert counts.seen == 60 == counts.out + counts.rejected + counts.duplicates
    rows, rejects = rows_of(tmp_path, "vec"), rejects_of(tmp_path / "vec")
    assert len(rows) == counts.out
    assert len(rejects) == counts.rejected + counts.duplicates
    assert {row.key for row in rows}.isdisjoint({r.key for r in rejects if r.code != "duplicate_key"})
    assert len({row.key for row in rows}) == len(rows)
    assert {row.status for row in rows} == {"ok"}


def test_vecap_is_made_from_the_vec_of_the_same_sample(tars: Path, tmp_path: Path, stub: Stub) -> None:
    run_stage(tars, tmp_path, VEC, stub.url)
    run_stage(tars, tmp_path, VECAP, stub.url)
    vec = {row.key: row.text for row in rows_of(tmp_path, "vec")}
    fused = rows_of(tmp_path, "vecap")
    for row in fused:
        if row.status == "no_alttext":
            assert (row.text, row.fallback) == (vec[row.key], "vec")
        elif row.key in vec:
            assert row.text == f"{str(vec[row.key]).rstrip('.')} in the afternoon sun."
        else:  # the image could not be decoded
            assert (row.status, row.fallback) == ("no_vec", "alttext")
    assert {row.fallback for row in fused} == {"", "alttext", "vec"}


def test_what_captions_keep_and_how_varied_they_are_before_and_after(
    tars: Path, tmp_path: Path, stub: Stub
) -> None:
    run_stage(tars, tmp_path, VEC, stub.url)
    result = run_stage(tars, tmp_path, VECAP, stub.url)
    sums = result.counts.grounding
    rows = [row for row in rows_of(tmp_path, "vecap") if row.fallback == ""]
    vec = {row.key: str(row.text) for row in rows_of(tmp_path, "vec")}
    words = [find_words(vec[row.key]) for row in rows]
    assert sums["captions"] == len(rows)
    assert sums["vec_nouns_kept"] == sums["vec_nouns"] > 0  # the stub repeats VeC
    assert sums["vec_words"] == sums["vec_1grams"] == sum(map(len, words))
    fused = {row.key for row in rows}
    units = [[row.key for row in read_rows(part)] for part in open_ledger(tmp_path)[0].parts]
    by_unit = [{word for key in unit if key in fused for word in find_words(vec[key])} for unit in units]
    assert sums["vec_1grams_distinct"] == sum(map(len, by_unit))
    assert sums["words"] > sums["vec_words"]
    assert result.counts.grounding == run_stage(tars, tmp_path, VECAP, stub.url).counts.grounding
    said = summary(result, tmp_path, 1.0)
    assert re.search(r"nouns kept +[\d.]+ % +100\.0 %\n", said)
    assert re.search(r"distinct 2-grams +[\d.]+ % +[\d.]+ % +[\d.]+ %", said)


def test_a_second_run_asks_nothing_and_later_sources_leave_earlier_ones_alone(
    tars: Path, tmp_path: Path, stub: Stub
) -> None:
    run_stage(tars, tmp_path, VEC, stub.url)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "vec").iterdir()}
    asked = len(stub.bodies)
    assert run_stage(tars, tmp_path, VEC, stub.url).finished_before
    assert len(stub.bodies) == asked
    run_stage(tars, tmp_path, PLAIN, stub.url)
    assert [source.name for source in open_ledger(tmp_path)] == ["rewrite/plain", "vec"]
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "vec").iterdir()} == before


def test_another_seed_is_another_ledger(tars: Path, tmp_path: Path, stub: Stub) -> None:
    run_stage(tars, tmp_path, VEC, stub.url)
    with pytest.raises(UserError, match=r"options\.seed: 0 there, 1 now"):
        run_stage(tars, tmp_path, VEC, stub.url, seed=1)


def test_provenance_is_in_every_row(tars: Path, tmp_path: Path, stub: Stub) -> None:
    run_stage(tars, tmp_path, PLAIN, stub.url)
    rows = rows_of(tmp_path, "rewrite/plain")
    for row in rows:
        assert row.model == "stub"
        assert row.source == "rewrite/plain"
        assert json.loads(row.sampling) == {"temperature": 0.9, "top_p": 0.95, "max_tokens": 96}
        assert (row.attempts, row.finish_reason, row.fallback) == (1, "stop", "")
        assert row.prompt_tokens == 100
        assert len(row.content_hash) == len(row.prompt_hash) == 32
    assert len({row.seed for row in rows}) == len(rows)


def test_parts_have_page_checksums_that_are_compared(tars: Path, tmp_path: Path, stub: Stub) -> None:
    run_stage(tars, tmp_path, VEC, stub.url)
    part = open_ledger(tmp_path)[0].parts[0]
    assert pq.read_schema(part).names == SCHEMA.names
    data = bytearray(part.read_bytes())
    data[len(data) // 8] ^= 1
    part.write_bytes(data)
    with pytest.raises(UserError, match="cannot be read"):
        rows_of(tmp_path, "vec")


def test_images_are_sent_shrunken(tars: Path, tmp_path: Path, stub: Stub) -> None:
    run_stage(tars, tmp_path, VEC, stub.url, image_px=20)
    urls = [body["messages"][-1]["content"][0]["image_url"]["url"] for body in stub.bodies]
    assert all(url.startswith("data:image/jpeg;base64,") for url in urls)
    assert max(map(len, urls)) < 2000


def test_every_code_has_one_meaning() -> None:
    from engine.captions.status import CAPTION_STATUS

    assert set(REQUEST_STATUS).isdisjoint(CAPTION_STATUS)


def test_a_pilot_estimates_and_its_answers_are_not_asked_again(
    tars: Path, tmp_path: Path, stub: Stub, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [str(tars / "*.tar"), "--mode", "all", "--out", str(tmp_path), "--base-url", stub.url]
    assert main([*words, "--pilot", "12"]) == 0
    said = capsys.readouterr().out
    assert "pilot of vec: 12 samples" in said
    assert "pilot of vecap: 12 samples" in said
    assert "whole set: about 60 samples" in said
    assert said.count("    AltText  picture number") == 6 + 8  # of 6 in each tar, 3 can be seen and 4 read
    piloted = dict(stub.asked)
    assert open_nothing(tmp_path)
    assert main([*words, "--max-failures", "100%", "--workers", "2"]) == 0
    assert set(piloted) <= set(stub.asked)
    assert max(stub.asked.values()) == 1
    assert "rows of the ledger" in capsys.readouterr().out


def test_answers_under_another_template_are_asked_for_again(tars: Path, tmp_path: Path, stub: Stub) -> None:
    def words(folder: str, template: str) -> list[str]:
        wanted = ["--mode", "laclip", "--packs", PACKS[0], "--template", template, "--max-failures", "100%"]
        return [str(tars / "*.tar"), *wanted, "--out", str(tmp_path / folder), "--base-url", stub.url]

    assert main(words("undisturbed", "llava_v1")) == 0
    whole = sum(stub.asked.values())
    assert main([*words("piloted", "plain"), "--pilot", "12"]) == 0
    stub.asked.clear()
    assert main(words("piloted", "llava_v1")) == 0
    assert sum(stub.asked.values()) == whole > 0


def test_a_server_takes_images_in_its_own_format(
    tars: Path, tmp_path: Path, stub: Stub, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [str(tars / "*.tar"), "--mode", "vec", "--template", "plain", "--out", str(tmp_path)]
    assert main([*words, "--base-url", stub.url]) == 1
    assert "--template plain: given with --base-url" in capsys.readouterr().err


def open_nothing(folder: Path) -> bool:
    """Whether a folder holds no finished source."""
    with pytest.raises(UserError, match="no finished captions"):
        open_ledger(folder)
    return True
