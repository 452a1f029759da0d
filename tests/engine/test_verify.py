"""`engine.verify` finds every kind of planted damage and nothing else."""

from __future__ import annotations

import json
import random
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from build_corpus import build_dataset, make_tars, run_command, shard_arguments
from tokenizers import Tokenizer as RustTokenizer
from tokenizers import models, pre_tokenizers

from engine.build.samples import cached_tokenizer, columns_of
from engine.build.verification import verify
from engine.native import hash_file
from engine.shards.entries import ShardEntry
from engine.shards.index import read_index, write_index
from engine.shards.mds_writer import MdsWriter
from engine.shards.reader import open_dataset
from engine.shards.sample_hash import hash_column

Damage = Callable[[Path], None]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("verify")
    build_dataset(make_tars(folder / "tars", tars=2), folder / "out")
    return folder / "out"


@pytest.fixture
def copy(built: Path, tmp_path: Path) -> Path:
    return shutil.copytree(built, tmp_path / "out")


def findings(folder: Path) -> list[str]:
    *_, last = verify(folder, workers=1)
    return last.problems


def flip(path: Path, at: int, bit: int = 0) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1 << bit
    path.write_bytes(data)


def first_shard(folder: Path) -> Path:
    return folder / "00000" / "shard.00000.mds"


def truncate(folder: Path) -> None:
    path = first_shard(folder)
    path.write_bytes(path.read_bytes()[:-1])


def remove(folder: Path) -> None:
    first_shard(folder).unlink()


def swap(folder: Path) -> None:
    one, two = folder / "00000" / "shard.00001.mds", folder / "00001" / "shard.00001.mds"
    one.rename(folder / "third")
    two.rename(one)
    (folder / "third").rename(two)


def add_stray(folder: Path) -> None:
    shutil.copy(first_shard(folder), folder / "00000" / "shard.00099.mds")


def forget_a_shard(folder: Path) -> None:
    write_index(folder, read_index(folder)[:-1])


def change_metadata(folder: Path) -> None:
    path = folder / "dataset.json"
    obj = json.loads(path.read_bytes())
    obj["captions"]["alttext"]["captions"] += 1
    path.write_text(json.dumps(obj))


def remove_rejects(folder: Path) -> None:
    (folder / "rejects.parquet").unlink()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (truncate, "00000/shard.00000.mds: .* bytes, the index says"),
        (remove, "00000/shard.00000.mds: missing"),
        (swap, "00000/shard.00001.mds: .*the index says"),
        (add_stray, "shard.00099.mds: not in the index"),
        (forget_a_shard, "the index has"),
        (change_metadata, "dataset.json: .*dataset card"),
        (remove_rejects, "rejects.parquet: missing"),
    ],
)
def test_damage_is_found(copy: Path, damage: Damage, message: str) -> None:
    assert findings(copy) == []
    damage(copy)
    result = run_command("verify", copy)
    assert result.returncode == 1
    assert any(re.search(message, line) for line in result.stdout.splitlines()), result.stdout


@pytest.mark.parametrize("name", ["00000/shard.00000.mds", "dataset.json", "rejects.parquet"])
def test_a_flipped_bit_anywhere_is_found(copy: Path, name: str) -> None:
    draw, path = random.Random(name), copy / name
    for _ in range(6):
        at, bit = draw.randrange(path.stat().st_size), draw.randrange(8)
        flip(path, at, bit)
        assert findings(copy), f"byte {at}, bit {bit}"
        flip(path, at, bit)
    assert findings(copy) == []


def rewrite(folder: Path, change: Callable[[list[dict[str, bytes]]], Any]) -> None:
    """Writes the first unit anew with changed samples and right hashes: a lie told well."""
    dataset = open_dataset(folder)
    entries = [entry for entry in dataset.entries if not entry.raw_data.basename.startswith("00000/")]
    mine = sum(entry.samples for entry in dataset.entries) - sum(entry.samples for entry in entries)
    samples = [dataset.encoded(at) for at in range(mine)]
    change(samples)
    shutil.rmtree(folder / "00000")
    writer = MdsWriter(folder / "00000", columns_of(False), hashes=("xxh3_64",))
    columns = {name: [sample[name] for sample in samples] for name in samples[0]}
    writer.write_batch(columns | {"sample_hash": hash_column(columns)})
    write_index(folder, [*(entry.below("00000") for entry in writer.finish()), *entries])
    card = (folder / "README.md").read_text()
    rows = [line for line in card.splitlines() if line.startswith("| `index.json`")]
    path = folder / "index.json"
    row = f"| `index.json` | {path.stat().st_size:,} | `{hash_file(path, 'xxh3_128')}` |"
    (folder / "README.md").write_text(card.replace(rows[0], row))


def wrong_token(samples: list[dict[str, bytes]]) -> None:
    tokens = bytearray(samples[2]["tokens"])
    tokens[-3] ^= 1
    samples[2]["tokens"] = bytes(tokens)


def wrong_count(samples: list[dict[str, bytes]]) -> None:
    samples[2]["caption_counts"] = samples[2]["caption_counts"][:-2] + b"\2\0"


def wrong_width(samples: list[dict[str, bytes]]) -> None:
    samples[2]["width"] = b"\1\0\0\0"


def same_key(samples: list[dict[str, bytes]]) -> None:
    samples[2]["key"] = samples[3]["key"]


def no_image(samples: list[dict[str, bytes]]) -> None:
    samples[2]["image"] = b"no image"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (wrong_token, r"shard.00000.mds: sample 2 \(key .*token ids of caption 0 \('picture"),
        (wrong_count, "sample 2 .*caption_counts"),
        (wrong_width, "sample 2 .*stored is 1 x"),
        (same_key, "a key is in 00000/shard.00000.mds and again in"),
        (no_image, "sample 2 .*image cannot be read"),
    ],
)
def test_lies_with_right_hashes_are_found(copy: Path, change: Any, message: str) -> None:
    rewrite(copy, lambda samples: None)
    assert findings(copy) == []
    rewrite(copy, change)
    assert any(re.search(message, line) for line in findings(copy)), findings(copy)


def test_any_mds_set_can_be_checked(tmp_path: Path) -> None:
    writer = MdsWriter(tmp_path / "set", {"x": "int32"}, hashes=("sha1",))
    for x in range(10):
        writer.write({"x": x})
    write_index(tmp_path / "set", writer.finish())
    assert findings(tmp_path / "set") == []
    flip(tmp_path / "set" / "shard.00000.mds", -1)
    assert len(findings(tmp_path / "set")) == 1


def test_a_tokenizer_in_a_folder_is_found_where_it_was(tmp_path: Path) -> None:
    folder = tmp_path / "words"
    folder.mkdir()
    vocabulary = {"picture": 0, "number": 1, "<e>": 2, "<u>": 3}
    rust = RustTokenizer(models.WordLevel(vocabulary, unk_token="<u>"))
    rust.pre_tokenizer = pre_tokenizers.Whitespace()
    rust.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text('{"eos_token": "<e>"}')
    arguments = shard_arguments(make_tars(tmp_path / "tars", tars=1), tmp_path / "out")
    assert run_command("shard", *arguments, "--tokenizer", folder, "--workers", 1).returncode == 0
    assert findings(tmp_path / "out") == []
    shutil.rmtree(folder)
    cached_tokenizer.cache_clear()
    assert any("token ids cannot be compared" in line for line in findings(tmp_path / "out"))


def test_the_index_is_read_once(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once for each shard would take days where there are 140,000."""
    reads: list[Path] = []

    def counted(folder: Path) -> list[ShardEntry]:
        reads.append(folder)
        return read_index(folder)

    monkeypatch.setattr("engine.shards.reader.read_index", counted)
    (*_, findings) = verify(copy, workers=1)
    assert (findings.problems, findings.shards) == ([], len(read_index(copy)))
    assert len(reads) == 1


@pytest.mark.parametrize("workers", ["0", "-1", "two"])
def test_a_wrong_number_of_workers_is_a_usage_error(copy: Path, workers: str) -> None:
    result = run_command("verify", copy, f"--workers={workers}")
    assert (result.returncode, result.stdout) == (2, "")


def test_no_dataset_is_an_error(tmp_path: Path) -> None:
    result = run_command("verify", tmp_path)
    assert (result.returncode, result.stdout) == (1, "")
    assert "index.json: missing" in result.stderr
