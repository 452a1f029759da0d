"""Memory of batches: lent to one at a time, used again when free, never while someone looks."""

from __future__ import annotations

import gc

import torch

from loaders.buffers import ALIGNMENT, Buffers


def address(tensor: torch.Tensor) -> int:
    return tensor.data_ptr()


def test_memory_comes_back_only_after_the_last_view() -> None:
    buffers = Buffers(2)
    first = buffers.take(4096)
    where = address(first)
    view = first.view(torch.float32).view(2, -1)[1:]
    array = view.numpy()
    del first, view
    gc.collect()
    held = buffers.take(4096)
    assert address(held) != where
    del array
    gc.collect()
    assert address(buffers.take(4096)) == where


def test_every_batch_that_is_kept_has_its_own_memory() -> None:
    buffers = Buffers(1)
    kept = [buffers.take(1000) for _ in range(5)]
    for value, tensor in enumerate(kept):
        tensor.fill_(value)
    assert [int(tensor.max()) for tensor in kept] == [0, 1, 2, 3, 4]
    assert all(address(tensor) % ALIGNMENT == 0 for tensor in kept)


def test_a_larger_batch_gets_larger_memory() -> None:
    buffers = Buffers(2)
    small = buffers.take(100)
    del small
    large, again = buffers.take(200), buffers.take(50)
    assert (len(large), len(again)) == (200, 50)
