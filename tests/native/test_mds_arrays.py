"""`ndarray:DTYPE` columns: what Streaming's own encoder writes is read back; everything else is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from streaming.base.format.mds.encodings import mds_encode

from engine.native import ColumnView, NativeError

DTYPES = ["uint8", "uint16", "float32", "int64"]


@given(st.lists(st.integers(1, 70_000), max_size=6), st.sampled_from(DTYPES))
def test_what_streaming_encodes_comes_back(lengths: list[int], dtype: str) -> None:
    """Lengths past 255 and 65,535 have a wider shape."""
    arrays = [(np.arange(length) % 251).astype(dtype) for length in lengths]
    column = ColumnView([mds_encode(f"ndarray:{dtype}", array) for array in arrays])
    values, offsets = column.arrays(np.dtype(dtype).itemsize)
    assert offsets.tolist() == [0, *np.cumsum(lengths).tolist()]
    assert np.array_equal(values.view(dtype), np.concatenate([*arrays, np.empty(0, dtype)]))


def test_an_empty_array_is_one() -> None:
    """Streaming's encoder refuses it; its decoder does not."""
    values, offsets = ColumnView([b"\x04\x00", b"\x04\x01ab"]).arrays(2)
    assert (values.tobytes(), offsets.tolist()) == (b"ab", [0, 0, 1])


@pytest.mark.parametrize(
    "bad",
    [
        b"",
        b"\x04",  # no shape
        b"\x05\x01",  # half a shape
        b"\x08\x01\x01ab",  # two dimensions
        b"\x00",  # none
        b"\x04\x02ab",  # one element, two announced
        b"\x04\x01abc",  # one and a half
        b"\x07" + b"\xff" * 8 + b"ab",
    ],
)
def test_anything_else_is_refused_and_named(bad: bytes) -> None:
    good = mds_encode("ndarray:uint16", np.arange(3, dtype=np.uint16))
    with pytest.raises(NativeError, match="item 1: no one-dimensional array of 2-byte elements"):
        ColumnView([good, bad, good]).arrays(2)


@given(st.binary(max_size=40), st.integers(1, 9))
def test_no_bytes_read_out_of_bounds(data: bytes, element_bytes: int) -> None:
    try:
        values, offsets = ColumnView([data]).arrays(element_bytes)
    except NativeError:
        return
    assert len(values) == offsets[1] * element_bytes
    assert data.endswith(values.tobytes())


def test_elements_have_a_size() -> None:
    with pytest.raises(NativeError, match="0 bytes"):
        ColumnView([]).arrays(0)
