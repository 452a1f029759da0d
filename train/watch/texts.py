"""What is to be seen of the captions of a step: their length, how many are cut, how many are the same."""

from __future__ import annotations

from typing import Any

import torch
from composer.core import Callback, State
from composer.loggers import Logger
from composer.utils import dist


class CaptionStatistics(Callback):
    """Logs each `interval` steps, of that step's captions, mean of the ranks.

    texts/mean_tokens: ids of a caption, its start and end included.
    texts/full_context: share of the captions that fill the context; nearly all of them were cut.
    texts/duplicates: share of a rank's captions that another of its captions equals, id for id; to the
    loss these are false negatives.
    """

    def __init__(self, interval: int, pad_id: int) -> None:
        """Logs each `interval` steps; `pad_id` fills captions up."""
        self.interval, self.pad_id = interval, pad_id

    def batch_end(self, state: State, logger: Logger) -> None:
        """Logs this step's."""
        if int(state.timestamp.batch) % self.interval:
            return
        table: Any = state.device.tensor_to_device(caption_statistics(state.batch["text"], self.pad_id))
        if dist.get_world_size() > 1:
            dist.all_reduce(table)
        mean = (table / dist.get_world_size()).tolist()
        logger.log_metrics(
            dict(
                zip(
                    ("texts/mean_tokens", "texts/full_context", "texts/duplicates"),
                    mean,
                    strict=True,
                )
            )
        )


def caption_statistics(text: torch.Tensor, pad_id: int) -> torch.Tensor:
    """Return float32 [3]: mean length, share of full rows, share of rows that another one equals.

    Args:
        text: int64 [B, context], each row filled up with `pad_id` behind its end token.
        pad_id: may be an id that captions hold as well: only the tail counts as filling.
    """
    text = text.cpu()
    position = torch.arange(1, text.shape[1] + 1)
    length = ((text != pad_id) * position).amax(dim=1)
    _, counts = torch.unique(text, dim=0, return_counts=True)
    same = counts[counts > 1].sum()
    full = length == text.shape[1]
    return torch.stack([length.float().mean(), full.float().mean(), same / len(text)])
