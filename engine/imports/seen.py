"""Which keys came before, in 8 bytes each."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from engine.native import key_hashes


class SeenKeys:
    """A growing set of key hashes: sorted arrays, merged when they are as long as the one before.

    Two keys of a billion share a hash with a probability of 3%; the later one would be taken for a duplicate.
    """

    def __init__(self) -> None:
        """Nothing was seen."""
        self._runs: list[NDArray[np.uint64]] = []

    def add(self, keys: Sequence[str]) -> list[bool]:
        """For each key whether it is new; a key that is there twice is new once."""
        hashes = key_hashes([key.encode() for key in keys])
        values, first = np.unique(hashes, return_index=True)
        new = np.ones(len(values), bool)
        for run in self._runs:
            new &= run[np.minimum(np.searchsorted(run, values), len(run) - 1)] != values
        fresh = np.zeros(len(keys), bool)
        fresh[first[new]] = True
        if new.any():
            self._runs.append(values[new])
        while len(self._runs) > 1 and len(self._runs[-1]) * 2 > len(self._runs[-2]):
            last = self._runs.pop()
            self._runs[-1] = np.union1d(self._runs[-1], last)
        return [bool(one) for one in fresh]
