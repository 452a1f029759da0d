"""Samples without AltText, and keys that stand in several units."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from build_corpus import jpeg, make_tars, metadata_of, run_command, write_tar
from recaption_kit import PLAIN, VEC, VECAP, as_set, rows_of, run_stage
from stub_server import good, serving

from engine.build.dedup import KeySet
from engine.recap.earlier import EarlierKeys
from engine.recap.host import close_hosts
from engine.recap.report import counts_table

WITHOUT = {"k0-4", "k1-4"}  # in the corpus their captions are white space


@pytest.fixture(autouse=True)
def _no_engine_stays() -> Iterator[None]:
    yield
    close_hosts()


def test_an_image_without_alttext_has_vec_and_its_vecap_is_that(tmp_path: Path) -> None:
    tars = make_tars(tmp_path / "tars", tars=2)
    with serving(good) as stub:
        run_stage(tars, tmp_path, VEC, stub.url)
        before = len(stub.bodies)
        counts = run_stage(tars, tmp_path, VECAP, stub.url).counts
        assert len(stub.bodies) - before == counts.attempts == counts.out - len(WITHOUT) - 2
    vec = {row.key: row for row in rows_of(tmp_path, "vec")}
    assert {(vec[key].status, vec[key].attempts) for key in WITHOUT} == {("ok", 1)}
    fused = {row.key: row for row in rows_of(tmp_path, "vecap")}
    for key in WITHOUT:
        assert fused[key].text == vec[key].text
        assert (fused[key].status, fused[key].fallback, fused[key].attempts) == ("no_alttext", "vec", 0)
    assert counts.status["no_alttext"] == counts.fallbacks["vec"] == len(WITHOUT)
    assert counts.failures == counts.status["no_vec"] == 2  # no one failed where there is no AltText
    table = counts_table(counts)
    assert "no_alttext" in table
    assert "the sample has no AltText" in table


def test_samples_without_alttext_are_no_rewrites(tmp_path: Path) -> None:
    tars = make_tars(tmp_path / "tars", tars=2)
    with serving(good) as stub:
        counts = run_stage(tars, tmp_path, PLAIN, stub.url).counts
    assert WITHOUT.isdisjoint(row.key for row in rows_of(tmp_path, PLAIN.source))
    assert sum(counts.rejected_by_code.values()) == len(WITHOUT)


def test_the_commands_make_shards_of_images_without_alttext(tmp_path: Path) -> None:
    tars = make_tars(tmp_path / "tars", tars=2)
    words = [tars / "*.tar", "--max-failures", "100%", "--out"]
    with serving(good) as stub:
        done = run_command("recaption", *words, tmp_path / "out", "--mode", "all", "--base-url", stub.url)
        assert done.returncode == 0, done.stderr
    for name, captions in (("with", ["--captions", tmp_path / "out"]), ("without", [])):
        done = run_command("shard", *words, tmp_path / name, *captions)
        assert done.returncode == 0, done.stderr
    found, plain = metadata_of(tmp_path / "with"), metadata_of(tmp_path / "without")
    assert found["samples"] == plain["samples"] + len(WITHOUT)
    assert "caption_empty" not in found["counts"]["rejected_by_code"]
    assert plain["counts"]["rejected_by_code"]["caption_empty"] == len(WITHOUT)


def test_a_sample_without_any_caption_is_no_sample_of_shards(tmp_path: Path) -> None:
    tars = make_tars(tmp_path / "tars", tars=1)
    (tmp_path / "a.json").write_text(
        json.dumps([{"url": "k0-0", "caption": "A gradient from left to right."}])
    )
    done = run_command("import_captions", "vecap300m", tmp_path / "a.json", "--out", tmp_path / "ledger")
    assert done.returncode == 0, done.stderr
    words = ["--captions", tmp_path / "ledger", "--max-failures", "100%", "--out", tmp_path / "out"]
    done = run_command("shard", tars / "*.tar", *words)
    assert done.returncode == 0, done.stderr
    counts = metadata_of(tmp_path / "out")["counts"]
    assert counts["rejected_by_code"]["caption_empty"] == 1
    assert counts["in"] == counts["out"] + counts["rejected"] + counts["duplicates"]


@pytest.fixture(scope="module")
def twins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six tars; half of the samples of each are those of the one before."""
    folder = tmp_path_factory.mktemp("twins")
    for tar in range(6):
        keys = range(10 * tar, 10 * tar + 20)
        write_tar(folder / f"{tar}.tar", [(f"k{at}", jpeg(at), f"picture number {at}") for at in keys])
    return folder


@pytest.mark.parametrize("workers", [0, 3])
def test_a_key_in_two_units_has_one_row_and_is_paid_for_once(
    twins: Path, tmp_path: Path, workers: int
) -> None:
    with serving(good) as stub:
        counts = run_stage(twins, tmp_path / "out", VEC, stub.url, workers=workers).counts
        asked = len(stub.bodies)
    rows = rows_of(tmp_path / "out", "vec")
    assert sorted(row.key for row in rows) == sorted(f"k{at}" for at in range(70))
    assert (counts.seen, counts.out, counts.duplicates) == (120, 70, 50)
    # Units that are done at the same time do not know of each other yet: what that costs is counted.
    assert asked == counts.asked == counts.attempts + counts.spare
    assert counts.spare == 0 if not workers else counts.spare <= 50
    assert ("spare" in counts_table(counts)) == bool(counts.spare)
    with serving(good) as stub:
        run_stage(twins, tmp_path / "alone", VEC, stub.url)
    assert as_set(rows) == as_set(rows_of(tmp_path / "alone", "vec"))


def test_keys_of_earlier_units_alone_are_known(tmp_path: Path) -> None:
    hashes = {unit: [KeySet.hash_of(f"{unit}-{at}") for at in range(50 * (unit + 1))] for unit in range(6)}
    for unit, some in hashes.items():
        KeySet(some).commit(tmp_path / f"{unit:05d}.keys")
        if unit != 2:  # not finished
            (tmp_path / f"{unit:05d}.json").touch()
    known = EarlierKeys(tmp_path)
    assert known.add_finished(4)
    found = Counter(unit for unit, some in hashes.items() for one in some if one in known)
    assert found == {unit: len(hashes[unit]) for unit in (0, 1, 3)}
    (tmp_path / "00002.json").touch()
    assert known.add_finished(5)
    assert all(one in known for unit in range(5) for one in hashes[unit])
    assert not known.add_finished(3)  # knows more than unit 3 may know
