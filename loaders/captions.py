"""Token ids of the chosen captions of a batch, padded for the model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.errors import UserError
from loaders.columns import Ragged


@dataclass(frozen=True)
class CaptionTokens:
    """Where each caption of a batch lies in the `tokens` column.

    Attributes:
        tokens: uint16 ids of all captions, one row per sample.
        counts: uint16 [N, sources], captions per source.
        lengths: int64 [N, most captions], tokens of each caption, 0 past a sample's last.
    """

    tokens: Ragged
    counts: NDArray[np.uint16]
    lengths: NDArray[np.int64]

    @classmethod
    def build(cls, tokens: Ragged, counts: Ragged, lengths: Ragged, sources: int) -> CaptionTokens:
        """Check that the three columns of a batch agree, then lay them out.

        Raises:
            UserError: when they do not, naming the row.
        """
        if (counts.lengths != sources).any():
            raise UserError(
                f"column caption_counts: {int(counts.lengths.max(initial=0))} sources in a sample, "
                f"{sources} in dataset.json; index.json and dataset.json are not of the same data set"
            )
        table = counts.padded(sources, 0)
        per_caption = lengths.padded(int(lengths.lengths.max(initial=0)), 0).astype(np.int64)
        agree = (table.sum(axis=1, dtype=np.int64) == lengths.lengths) & (
            per_caption.sum(axis=1) == tokens.lengths
        )
        if not agree.all():
            raise UserError(
                "columns caption_counts, token_lengths and tokens disagree; the shard is damaged "
                "(check with python -m engine.verify)"
            )
        return cls(tokens, table, per_caption)

    def positions(self, source: NDArray[np.int64], caption: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the place [N] of caption number `caption` of `source` among all captions of its sample."""
        before = np.cumsum(self.counts, axis=1, dtype=np.int64) - self.counts
        place: NDArray[np.int64] = np.take_along_axis(before, source[:, None], axis=1)[:, 0] + caption
        return place

    def padded_text(
        self, rows: NDArray[np.int64], positions: NDArray[np.int64], context: int, pad: int
    ) -> NDArray[np.int64]:
        """Return int64 [M, context]: ids of caption `positions[m]` of sample `rows[m]`, padded with `pad`."""
        before = np.cumsum(self.lengths, axis=1) - self.lengths
        start = self.tokens.offsets[rows] + before[rows, positions]
        length = self.lengths[rows, positions]
        column = np.arange(context)
        inside = column < length[:, None]
        text = np.full(inside.shape, pad, np.int64)
        text[inside] = self.tokens.values[(start[:, None] + column)[inside]]
        return text
