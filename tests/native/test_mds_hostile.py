"""Damaged shards: BAD_SHARD or, where only values are hit, other values of the same lengths; no crash."""

from __future__ import annotations

import json
import os
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.native import MdsShard, NativeError, ShardPacker, Status, gather

NAMES, SIZES = ["fixed", "text", "tail"], [4, None, None]
ROWS = [[b"%04d" % i, b"t" * (i * 7 % 50), b"z" * (i % 3)] for i in range(20)]


def packed(rows: list[list[bytes]] = ROWS) -> bytes:
    packer = ShardPacker(NAMES, SIZES, json.dumps({"some": "config"}).encode(), 0)
    packer.append([list(column) for column in zip(*rows, strict=True)] or [[], [], []])
    return packer.to_bytes()


GOOD = packed()
FIRST_SAMPLE = struct.unpack_from("<I", GOOD, 4)[0]


def read_all(data: bytes) -> list[list[bytes]]:
    """Every way into a shard; the values if all of them agree that it is sound."""
    shard = MdsShard.from_bytes(data, NAMES, SIZES, "hostile")
    assert isinstance(shard.config, bytes)
    shard.check()
    rows = [shard.values(i) for i in range(shard.samples)]
    index = np.arange(shard.samples, dtype=np.int32)
    batch = gather([shard], np.zeros_like(index), index)
    assert rows == [[batch.column(name)[i] for name in NAMES] for i in range(len(batch))]
    return rows


def is_refused(data: bytes) -> bool:
    try:
        read_all(data)
    except NativeError as error:
        if error.status != Status.BAD_SHARD:
            raise
        return True
    return False


def with_word(at: int, word: int) -> bytes:
    return GOOD[:at] + struct.pack("<I", word) + GOOD[at + 4 :]


def test_the_sound_shard_is_read() -> None:
    assert read_all(GOOD) == ROWS
    assert read_all(packed([])) == []


@pytest.mark.parametrize("through_file", [False, True])
def test_every_truncation_is_refused(through_file: bool, tmp_path: Path) -> None:
    path = tmp_path / "shard"
    for length in range(len(GOOD)):
        if not through_file:
            assert is_refused(GOOD[:length])
            continue
        path.write_bytes(GOOD[:length])
        with pytest.raises(NativeError) as error:
            MdsShard(path, NAMES, SIZES)
        assert error.value.status == Status.BAD_SHARD


def test_something_after_the_end_is_refused() -> None:
    assert is_refused(GOOD + b"\0")


@pytest.mark.parametrize(
    "count", [0, 1, 19, 21, 1 << 16, 1 << 30, (1 << 31) - 1, 1 << 31, (1 << 32) - 2, (1 << 32) - 1]
)
def test_wrong_sample_counts(count: int) -> None:
    # Counts below the true one leave offsets that stop before the end; larger ones take values for offsets.
    assert is_refused(with_word(0, count))


@pytest.mark.parametrize("slot", range(21))
@pytest.mark.parametrize(
    "value", [0, 1, 7, FIRST_SAMPLE - 1, FIRST_SAMPLE + 1, len(GOOD) + 1, (1 << 31), (1 << 32) - 1]
)
def test_offsets_out_of_order_or_outside(slot: int, value: int) -> None:
    assert is_refused(with_word(4 + 4 * slot, value))


@pytest.mark.parametrize("length", [1, 50, 1 << 16, (1 << 31), (1 << 32) - 4, (1 << 32) - 1])
def test_lengths_that_do_not_add_up(length: int) -> None:
    assert is_refused(with_word(FIRST_SAMPLE, length))


@given(st.integers(0, 8 * len(GOOD) - 1))
def test_one_flipped_bit(bit: int) -> None:
    data = bytearray(GOOD)
    data[bit // 8] ^= 1 << bit % 8
    in_words = bit // 8 < 4 + 4 * 21
    assert is_refused(bytes(data)) or not in_words


@given(st.data())
def test_random_damage(data: st.DataObject) -> None:
    spots = data.draw(
        st.dictionaries(st.integers(0, len(GOOD) - 1), st.integers(0, 255), min_size=1, max_size=20)
    )
    damaged = bytearray(GOOD)
    for at, value in spots.items():
        damaged[at] = value
    is_refused(bytes(damaged))


@given(st.binary(max_size=200))
def test_random_bytes(data: bytes) -> None:
    is_refused(data)


def test_a_size_other_than_the_index_says(tmp_path: Path) -> None:
    path = tmp_path / "shard"
    path.write_bytes(GOOD)
    assert MdsShard(path, NAMES, SIZES, len(GOOD)).samples == len(ROWS)
    with pytest.raises(NativeError, match="the index says") as error:
        MdsShard(path, NAMES, SIZES, len(GOOD) + 1)
    assert error.value.status == Status.BAD_SHARD


def test_a_shard_rewritten_under_the_map_stays_in_bounds(tmp_path: Path) -> None:
    path = tmp_path / "shard"
    path.write_bytes(GOOD)
    shard = MdsShard(path, NAMES, SIZES)
    with path.open("r+b") as file:  # in place and of the same size, unlike any writer of ours
        file.write(b"\xff" * 84)
    for i in range(len(ROWS)):
        with pytest.raises(NativeError, match="bad_shard"):
            shard.values(i)
    assert shard.config == b""


def test_a_named_pipe_does_not_hang_the_reader(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(NativeError, match="not a regular file"):
        MdsShard(tmp_path / "pipe", NAMES, SIZES)
    with pytest.raises(NativeError, match="not a regular file"):
        MdsShard(tmp_path, NAMES, SIZES)


def test_gather_refuses_what_is_not_there() -> None:
    shard = MdsShard.from_bytes(GOOD, NAMES, SIZES, "a")
    other = MdsShard.from_bytes(packed([]), NAMES, SIZES, "b")
    one, zero = np.ones(1, np.int32), np.zeros(1, np.int32)
    cases = [(one, zero), (zero, 20 * one), (-one, zero), (zero, -one), (2 * one, zero)]
    for which, index in cases:
        with pytest.raises(NativeError) as error:
            gather([shard, other], which, index)
        assert error.value.status == Status.OUT_OF_RANGE
    for wrong in ([], [shard, MdsShard.from_bytes(packed([]), NAMES, [None, None, None], "c")]):
        with pytest.raises(NativeError) as error:
            gather(wrong, zero, zero)
        assert error.value.status == Status.BAD_ARGUMENT
    with pytest.raises(NativeError, match="differ in length"):
        gather([shard], zero, np.zeros(2, np.int32))


def test_views_keep_the_shard_alive(tmp_path: Path) -> None:
    path = tmp_path / "shard"
    path.write_bytes(GOOD)
    column = gather([MdsShard(path, NAMES, SIZES)], np.zeros(2, np.int32), np.array([3, 0], np.int32)).column(
        "text"
    )
    path.unlink()
    flat, offsets = column.concat()
    assert (flat.tobytes(), offsets.tolist()) == (b"t" * 21, [0, 21, 21])
