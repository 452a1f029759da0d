"""How scores are spread: counts in bins of a hundredth, which add up over units."""

from __future__ import annotations

import math
from collections.abc import Mapping

BINS_PER_UNIT = 100
Bins = dict[str, int]
"""Captions by the lower edge of their bin, `"0.24"`; a cosine is -1 to 1, and what is beyond is put there."""

_BARS = " ▁▂▃▄▅▆▇█"
_COLUMNS = 24


def bin_of(score: float) -> str:
    """The bin of a finite score."""
    # The nearest float32 of 0.24 is below 0.24: a score that was stored must not change its bin.
    edge = math.floor(min(1.0, max(-1.0, score)) * BINS_PER_UNIT + 1e-4)
    return f"{edge / BINS_PER_UNIT:.2f}"


def sorted_bins(bins: Mapping[str, int]) -> Bins:
    """From the lowest to the highest."""
    return {edge: bins[edge] for edge in sorted(bins, key=float)}


def quantile(bins: Mapping[str, int], share: float) -> float:
    """The lower edge of the bin that holds this quantile; `bins` must not be empty."""
    left = share * sum(bins.values())
    for edge in sorted(bins, key=float):
        left -= bins[edge]
        if left <= 0:
            break
    return float(edge)


def sparkline(bins: Mapping[str, int]) -> str:
    """The histogram as one line, from the lowest bin to the highest."""
    low, high = (round(float(edge) * BINS_PER_UNIT) for edge in (min(bins, key=float), max(bins, key=float)))
    width = max(1, math.ceil((high - low + 1) / _COLUMNS))
    heights = [0] * math.ceil((high - low + 1) / width)
    for edge, count in bins.items():
        heights[(round(float(edge) * BINS_PER_UNIT) - low) // width] += count
    most = max(heights)
    return "".join(_BARS[math.ceil(count * (len(_BARS) - 1) / most)] for count in heights)


def spread(bins: Mapping[str, int]) -> str:
    """In words: `median 0.24, 0.11 to 0.38`."""
    if not bins:
        return "none"
    low, high = min(map(float, bins)), max(map(float, bins))
    tenth, half, most = (quantile(bins, share) for share in (0.1, 0.5, 0.9))
    line = f"{low:.2f} {sparkline(bins)} {high:.2f}"
    return f"{line}  median {half:.2f}, 80 % from {tenth:.2f} to {most:.2f}"
