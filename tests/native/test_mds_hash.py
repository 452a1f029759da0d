"""The core's hashes are those of the xxhash package, for every length that takes another path inside."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import UserError
from engine.native import (
    ColumnView,
    NativeError,
    Status,
    hash_bytes,
    hash_file,
    key_hashes,
    sample_hashes,
    xxh3_64,
)
from engine.shards.hashing import HASHES, XXHASHES, check_hashes, file_digest, hex_digest

LENGTHS = [0, 1, 3, 4, 8, 9, 16, 17, 128, 129, 240, 241, 1024, 1025, 1 << 16, (1 << 20) + 1]


@pytest.mark.parametrize("algorithm", XXHASHES)
@pytest.mark.parametrize("length", LENGTHS)
def test_hex_equals_xxhash(algorithm: str, length: int, tmp_path: Path) -> None:
    data = np.random.default_rng(length).bytes(length)
    expected = getattr(xxhash, algorithm)(data).hexdigest()
    assert hash_bytes(data, algorithm) == expected
    path = tmp_path / "file"
    path.write_bytes(data)
    assert hash_file(path, algorithm) == expected


def test_published_vector() -> None:
    assert hash_bytes(b"abc", "xxh64") == "44bc2cf5ad770999"


@given(st.lists(st.binary(max_size=300)))
def test_key_hashes_are_one_hash_each(keys: list[bytes]) -> None:
    expected = [xxhash.xxh3_64_intdigest(key) for key in keys]
    assert key_hashes(keys).tolist() == expected
    assert key_hashes(ColumnView(keys)).tolist() == expected
    assert [xxh3_64(key) for key in keys] == expected


@given(st.lists(st.tuples(st.binary(max_size=50), st.binary(max_size=50)), min_size=1))
def test_sample_hash_is_over_lengths_and_values(rows: list[tuple[bytes, bytes]]) -> None:
    columns = [list(column) for column in zip(*rows, strict=True)]
    joined = [b"".join(len(v).to_bytes(4, "little") + v for v in row) for row in rows]
    assert sample_hashes(columns).tolist() == [xxhash.xxh3_64_intdigest(row) for row in joined]


def test_sample_hash_tells_where_a_value_ends() -> None:
    assert sample_hashes([[b"ab"], [b"c"]]) != sample_hashes([[b"a"], [b"bc"]])


def test_buffers_of_any_kind_and_nothing_that_is_not_contiguous() -> None:
    data = np.arange(100, dtype=np.uint16)
    for same in (data, memoryview(data.tobytes()), bytearray(data.tobytes())):
        assert xxh3_64(same) == xxhash.xxh3_64_intdigest(data.tobytes())
    with pytest.raises(ValueError, match="contiguous"):
        xxh3_64(data[::2])
    with pytest.raises(TypeError):
        key_hashes(b"one string is no sequence of keys")  # type: ignore[arg-type]


def test_what_is_wrong_is_said(tmp_path: Path) -> None:
    with pytest.raises(NativeError, match="md5") as error:
        hash_bytes(b"", "md5")
    assert error.value.status == Status.BAD_ARGUMENT
    with pytest.raises(NativeError, match="No such file") as error:
        hash_file(tmp_path / "none", "xxh64")
    assert error.value.status == Status.IO_ERROR
    with pytest.raises(NativeError, match="differ in length"):
        sample_hashes([[b""], []])


@pytest.mark.parametrize("algorithm", HASHES)
def test_every_name_hashes_bytes_and_files_alike(algorithm: str, tmp_path: Path) -> None:
    data = b"x" * 3_000_000
    path = tmp_path / "file"
    path.write_bytes(data)
    known = xxhash if algorithm in XXHASHES else hashlib
    assert (
        hex_digest(data, algorithm)
        == getattr(known, algorithm)(data).hexdigest()
        == file_digest(path, algorithm)
    )


@pytest.mark.parametrize("names", [["xxh64", "sha1"], ["sha1", "sha1"], ["crc32"], ["shake_128"]])
def test_hash_lists_that_streaming_refuses(names: list[str]) -> None:
    with pytest.raises(UserError, match="hash"):
        check_hashes(names)
