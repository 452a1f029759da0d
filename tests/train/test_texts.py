"""Caption statistics against a count by hand."""

from __future__ import annotations

import torch

from train.watch.texts import caption_statistics


def test_lengths_full_rows_and_duplicates_are_counted() -> None:
    text = torch.tensor(
        [
            [9, 1, 2, 8],  # fills the context
            [9, 1, 8, 0],
            [9, 0, 8, 0],  # the filling id inside
            [9, 1, 8, 0],  # the second row again
            [9, 8, 0, 0],
        ]
    )
    mean, full, duplicates = caption_statistics(text, pad_id=0).tolist()
    assert mean == (4 + 3 + 3 + 3 + 2) / 5
    assert round(full, 6) == 0.2
    assert round(duplicates, 6) == 0.4
    assert caption_statistics(text[:1], 0).tolist() == [4, 1, 0]
