"""InfoNCE on held-out pairs, whatever the run minimises, for each caption source by itself."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

CONTRASTED = 256
"""Pairs contrasted at a time, whatever the batch size, so that runs compare; chance is its logarithm, 5.5."""


def source_losses(
    image_ND: Tensor, text_MD: Tensor, image_of_text_M: Tensor, source_of_text_M: Tensor, scale: float
) -> dict[int, float]:
    """InfoNCE of each image with its first caption of a source, against others of the same source.

    Args:
        image_ND: unit features.
        text_MD: unit features, texts of an image and a source in their order.
        image_of_text_M: int64 [M].
        source_of_text_M: int64 [M], number of the source.
        scale: factor of the cosines.

    Returns:
        Loss by source: mean over groups of CONTRASTED images that follow each other (of all, where they are
        fewer); a rest is left out. No entry for a source with less than two pairs.
    """
    losses = {}
    for source in torch.unique(source_of_text_M).tolist():
        rows = _first_of_each(image_of_text_M, torch.nonzero(source_of_text_M == source).flatten())
        if len(rows) >= 2:
            losses[int(source)] = _mean_loss(image_ND[image_of_text_M[rows]], text_MD[rows], scale)
    return losses


def _first_of_each(owner_M: Tensor, rows: Tensor) -> Tensor:
    """Of texts that come image by image, the first one of each image."""
    own = owner_M[rows]
    return rows[torch.cat([own.new_ones(1), own[1:] - own[:-1]]).nonzero().flatten()]


def _mean_loss(image: Tensor, text: Tensor, scale: float) -> float:
    size = min(CONTRASTED, len(image))
    groups = range(0, len(image) - size + 1, size)
    return sum(_loss(image[at : at + size], text[at : at + size], scale) for at in groups) / len(groups)


def _loss(image: Tensor, text: Tensor, scale: float) -> float:
    logits, target = scale * image @ text.T, torch.arange(len(image))
    return float(F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2


def loss_names(losses: dict[int, float], sources: Sequence[str]) -> dict[str, float]:
    """Losses under the names that tables and loggers use."""
    return {f"loss/{sources[source]}": loss for source, loss in losses.items()}
