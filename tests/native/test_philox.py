"""Philox4x32-10 in C++ and in numpy: the published vectors, and one another."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import draws, native
from tests.native.philox_reference import philox4x32

VECTORS = json.loads(Path(__file__).with_name("philox_vectors.json").read_text())["vectors"]
WORD = st.integers(0, 2**32 - 1)
WORD_64 = st.integers(0, 2**64 - 1)


def words(values: list[str]) -> list[int]:
    return [int(value, 16) for value in values]


@pytest.mark.parametrize("vector", VECTORS)
def test_published_vectors(vector: dict[str, list[str]]) -> None:
    counter = np.array([words(vector["counter"])], dtype=np.uint32)
    first, second = words(vector["key"])
    expected = [words(vector["words"])]
    assert native.philox4x32(counter, np.array([first, second], dtype=np.uint32)).tolist() == expected
    assert philox4x32(counter, (first, second)).tolist() == expected


@given(st.lists(st.tuples(WORD, WORD, WORD, WORD), min_size=1, max_size=20), WORD, WORD)
def test_both_languages_agree(counters: list[tuple[int, int, int, int]], k0: int, k1: int) -> None:
    counter = np.array(counters, dtype=np.uint32)
    cpp = native.philox4x32(counter, np.array([k0, k1], dtype=np.uint32))
    assert np.array_equal(cpp, philox4x32(counter, (k0, k1)))


@given(WORD_64, WORD_64, WORD)
def test_counter_layout(key_hash: int, seed: int, epoch: int) -> None:
    counter = np.array(
        [[key_hash & 0xFFFFFFFF, key_hash >> 32, epoch, draws.CROP << 16 | 7]], dtype=np.uint32
    )
    expected = native.philox4x32(counter, np.array([seed & 0xFFFFFFFF, seed >> 32], dtype=np.uint32))
    got = draws.draw_words(np.array([key_hash], dtype=np.uint64), seed, epoch, draws.CROP, 7)
    assert np.array_equal(got, expected)


def test_purposes_and_epochs_draw_apart() -> None:
    hashes = np.arange(100, dtype=np.uint64)
    first = draws.caption_words(hashes, seed=1, epoch=0)
    assert np.array_equal(first, draws.draw_words(hashes, 1, 0, draws.CAPTION))
    for other in (draws.draw_words(hashes, 1, 0, draws.CROP), draws.caption_words(hashes, 1, 1)):
        assert not (first == other).all(axis=1).any()


@given(WORD, st.integers(1, 2**32 - 1))
def test_words_become_numbers_in_range(word: int, n: int) -> None:
    array = np.array([word], dtype=np.uint32)
    assert draws.below(array, n)[0] == word * n >> 32
    assert draws.uniform(array)[0] == word / 2**32


@pytest.mark.parametrize(("seed", "epoch"), [(-1, 0), (2**64, 0), (0, -1), (0, 2**32)])
def test_out_of_range_is_told(seed: int, epoch: int) -> None:
    with pytest.raises(ValueError, match="given, expected 0 <="):
        draws.caption_words(np.zeros(1, dtype=np.uint64), seed, epoch)
