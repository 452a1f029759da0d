"""Small pictures of a set's images, each once on the page."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from engine.errors import UserError
from engine.native import NativeError, ThreadPool
from engine.page import thumbnails
from train.evaluate.sets.base import ImageSet

SHORTER_PX = 128


class Pictures:
    """Pictures of a page by number, in the order in which they were asked for.

    Attributes:
        shown: of each a data URI; where it is empty, `state` says why.
    """

    def __init__(self) -> None:
        """None yet."""
        self.shown: list[dict[str, str]] = []
        self._pool = ThreadPool(1)

    def add(self, images: ImageSet, keys: Collection[str]) -> dict[str, int]:
        """Takes up pictures of a set; those that cannot be read are without an image, and say so.

        Returns:
            The number of each key's picture.
        """
        ordered: Sequence[str] = list(dict.fromkeys(keys))
        state = ""
        try:
            files = images.pictures(ordered)
        except (OSError, UserError, NativeError):  # the figures stand, whatever became of the data since
            files, state = {}, "the set could not be read again"
        first = len(self.shown)
        made = thumbnails([files.get(key) for key in ordered], self._pool, SHORTER_PX)
        self.shown += [
            {"uri": small.uri, "state": (not small.uri and state) or small.state} for small in made
        ]
        return {key: first + at for at, key in enumerate(ordered)}
