"""What a build makes: the same bytes whoever computes it, all samples accounted for, duplicates kept once."""

from __future__ import annotations

import io
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from build_corpus import (
    SAMPLES_PER_TAR,
    build_dataset,
    jpeg,
    make_tars,
    metadata_of,
    run_command,
    shard_arguments,
    tree,
    write_tar,
)
from PIL import Image

from engine.errors import UserError
from engine.shards.reader import open_dataset
from engine.tokenizers import load_tokenizer


@pytest.fixture(scope="module")
def tars(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tars(tmp_path_factory.mktemp("tars"))


@pytest.fixture(scope="module")
def built(tars: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("built") / "out"
    build_dataset(tars, out)
    return out


@pytest.mark.parametrize("workers", [2, 4])
def test_workers_do_not_change_a_byte(tars: Path, built: Path, tmp_path: Path, workers: int) -> None:
    build_dataset(tars, tmp_path / "out", workers=workers)
    assert tree(tmp_path / "out") == tree(built)


@pytest.mark.slow
def test_ray_does_not_change_a_byte(tars: Path, built: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray")
    arguments = [*shard_arguments(tars, tmp_path / "out"), "--executor", "ray", "--workers", "2"]
    result = run_command("shard", *arguments)
    assert result.returncode == 0, result.stderr
    assert tree(tmp_path / "out") == tree(built)


def test_every_sample_is_accounted_for(built: Path) -> None:
    counts = metadata_of(built)["counts"]
    assert counts["in"] == 4 * SAMPLES_PER_TAR
    assert counts["duplicates"] == 4 + 3  # within every tar, and of the first tar in the three others
    assert counts["rejected_by_code"] == {"caption_empty": 4, "truncated": 4}
    assert counts["in"] == counts["out"] + counts["rejected"] + counts["duplicates"]
    assert len(open_dataset(built)) == counts["out"]


def test_rejects_and_duplicates_are_rows(built: Path) -> None:
    rows = pq.read_table(built / "rejects.parquet").to_pylist()
    assert {row["code"] for row in rows} == {"caption_empty", "truncated", "duplicate_key"}
    repeated = [row["where"].rsplit("/", 1)[-1] for row in rows if row["key"].endswith("k0-7")]
    assert repeated == ["00001.tar", "00002.tar", "00003.tar"]


def test_the_first_sample_of_a_key_is_kept(tmp_path: Path) -> None:
    tars, images = tmp_path / "tars", [jpeg(seed) for seed in range(4)]
    tars.mkdir()
    write_tar(tars / "0.tar", [("a", images[0][:99], "cut off"), ("b", images[1], "first b")])
    write_tar(tars / "1.tar", [("a", images[2], "first whole a"), ("b", images[3], "second b")])
    build_dataset(tars, tmp_path / "out", workers=2)
    dataset = open_dataset(tmp_path / "out")
    kept = {dataset.sample(at)["captions"]["alttext"][0]: dataset.sample(at)["image"] for at in range(2)}
    assert kept == {"first b": images[1], "first whole a": images[2]}


def test_a_unit_of_duplicates_leaves_no_folder(tmp_path: Path) -> None:
    tars = tmp_path / "tars"
    tars.mkdir()
    for name in ("0.tar", "1.tar"):
        write_tar(tars / name, [("a", jpeg(1), "one"), ("b", jpeg(2), "two")])
    build_dataset(tars, tmp_path / "out")
    assert not (tmp_path / "out" / "00001").exists()
    assert metadata_of(tmp_path / "out")["counts"]["duplicates"] == 2


def test_samples_hold_what_the_source_held(built: Path) -> None:
    sample = open_dataset(built).sample(0)
    ids, lengths = load_tokenizer("clip").encode_batch(["picture number 0 of a gradient"])
    assert sample["image"] == jpeg(0)
    assert (sample["width"], sample["height"]) == Image.open(io.BytesIO(jpeg(0))).size
    assert sample["captions"] == {"alttext": ["picture number 0 of a gradient"]}
    assert sample["tokens"].tolist() == ids.tolist()
    assert sample["token_lengths"].tolist() == lengths.tolist()


def test_stock_streaming_reads_it(built: Path) -> None:
    streaming = pytest.importorskip("streaming")
    streaming.base.util.clean_stale_shared_memory()
    theirs = streaming.StreamingDataset(local=str(built), shuffle=False, batch_size=1)
    ours = open_dataset(built)
    assert len(theirs) == len(ours)
    for at in range(len(ours)):
        for name, value in ours.sample(at).items():
            found = theirs[at][name]
            assert (found.tolist() if hasattr(found, "tolist") else found) == (
                value.tolist() if hasattr(value, "tolist") else value
            )


def test_no_time_no_host_no_place_in_the_result(tars: Path, built: Path, tmp_path: Path) -> None:
    build_dataset(tars, tmp_path / "elsewhere" / "out")
    assert tree(tmp_path / "elsewhere" / "out") == tree(built)
    for path in built.rglob("*"):
        assert path.is_dir() or str(built).encode() not in path.read_bytes()


@pytest.mark.parametrize("option", [("--quality", "200"), ("--hashes", "foo"), ("--compression", "gz")])
def test_wrong_options_write_nothing(tars: Path, tmp_path: Path, option: tuple[str, str]) -> None:
    result = run_command("shard", *shard_arguments(tars, tmp_path / "out"), *option)
    assert (result.returncode, result.stderr.count("\n")) == (1, 1)
    assert not (tmp_path / "out").exists()


def test_nothing_left_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "tars").mkdir()
    write_tar(tmp_path / "tars" / "0.tar", [("a", b"no image", "text")])
    with pytest.raises(UserError, match="no sample is left"):
        build_dataset(tmp_path / "tars", tmp_path / "out")
    assert not (tmp_path / "out" / "index.json").exists()
