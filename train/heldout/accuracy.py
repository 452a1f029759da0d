"""Figures of classification by texts: one row a class, and how many classes stand before an image's own."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

KS = (1, 5, 10)


def class_rows(texts_CTD: Tensor) -> Tensor:
    """Return unit rows [C, D]: the mean of each class's texts, brought to length 1.

    CLIP's ensemble, as open_clip's `build_zero_shot_classifier`.

    Args:
        texts_CTD: unit features of T texts for each of C classes.
    """
    return F.normalize(texts_CTD.mean(dim=1), dim=-1)


def accuracy(places: Tensor, labels: Tensor, classes: int) -> dict[str, float]:
    """Return the figures that follow from how many classes stand before each image's own.

    Args:
        places: int64 [N].
        labels: int64 [N].
        classes: how many there are; a top k that cannot fail is left out.

    Returns:
        `top_K`, and `mean_per_class_recall` over the classes that have images.
    """
    table = {f"top_{k}": float((places < k).double().mean()) for k in KS if k < max(2, classes)}
    hits = torch.zeros(classes, dtype=torch.float64).index_add_(0, labels, (places < 1).double())
    count = torch.bincount(labels, minlength=classes)
    table["mean_per_class_recall"] = float((hits / count)[count > 0].mean())
    return table
