"""The same caption for many inputs: a model that stopped looking."""

from __future__ import annotations

from collections import Counter, deque


class RepeatWindow:
    """Counts captions in a sliding window; equal but for case and white space is the same."""

    def __init__(self, size: int = 1000, limit: int = 20) -> None:
        """Of the last `size` captions at most `limit` may be the same."""
        self._size = size
        self._limit = limit
        self._window: deque[str] = deque()
        self._counts: Counter[str] = Counter()

    def add(self, text: str) -> bool:
        """Takes one caption in; whether it came more often than allowed, itself included."""
        word = " ".join(text.casefold().split())
        self._window.append(word)
        self._counts[word] += 1
        if len(self._window) > self._size:
            oldest = self._window.popleft()
            self._counts[oldest] -= 1
            if not self._counts[oldest]:
                del self._counts[oldest]
        return self._counts[word] > self._limit
