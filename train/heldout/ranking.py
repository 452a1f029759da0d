"""Recall at k in both directions, from features; any number of captions an image.

Definition (CLIP's, as CLIP_benchmark computes it): a query counts 1 when any of its correct items is among
the k best, 0 otherwise; the mean over queries. Queries of image-to-text are the images that have a caption,
of text-to-image all captions.

Ties: candidates are ordered by score, then by index, so the lower index wins. A model that gives everything
the same score thus scores chance, and no run depends on a sort's whims.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

KS = (1, 5, 10)
# Rows of the score matrix held at a time: 1024 x 25,000 texts of COCO is 100 MB.
CHUNK = 1024


def recall_table(
    image_ND: Tensor, text_MD: Tensor, image_of_text_M: Tensor, ks: Sequence[int] = KS
) -> dict[str, float]:
    """R@k of both directions.

    Args:
        image_ND: unit image features, float32 [N, D].
        text_MD: unit text features, float32 [M, D].
        image_of_text_M: int64 [M], the image (0..N-1) that each text belongs to.
        ks: where to cut.

    Returns:
        {"image_to_text_r@1": ..., "text_to_image_r@1": ..., ...}, fractions in 0..1.
    """
    of_images = image_to_text_places(image_ND, text_MD, image_of_text_M)
    of_texts = text_to_image_places(image_ND, text_MD, image_of_text_M)
    table = {}
    for name, places in (("image_to_text", of_images), ("text_to_image", of_texts)):
        for k in ks:
            table[f"{name}_r@{k}"] = float((places < k).double().mean()) if len(places) else float("nan")
    return table


def text_to_image_places(image_ND: Tensor, text_MD: Tensor, image_of_text_M: Tensor) -> Tensor:
    """For each text, how many images come before its own: int64 [M]."""
    places = []
    for rows, scores in _chunks(text_MD, image_ND):
        own = image_of_text_M[rows].unsqueeze(1)
        places.append(place(scores, own))
    return torch.cat(places)


def image_to_text_places(image_ND: Tensor, text_MD: Tensor, image_of_text_M: Tensor) -> Tensor:
    """For each image that has a text, how many texts come before its best placed one: int64 [<= N]."""
    places = []
    for rows, scores in _chunks(image_ND, text_MD):
        correct = image_of_text_M.unsqueeze(0) == torch.arange(
            rows.start, rows.stop, device=scores.device
        ).unsqueeze(1)
        has_text = correct.any(dim=1)
        # argmax takes the first of equal values on every device only for integers; the first best correct
        # text is found through its index instead.
        best = scores.masked_fill(~correct, -torch.inf).amax(dim=1, keepdim=True)
        index = torch.arange(scores.shape[1], device=scores.device)
        best_correct = correct & ((scores == best) | best.isnan())
        first = torch.where(best_correct, index, scores.shape[1]).amin(dim=1, keepdim=True)
        places.append(place(scores[has_text], first[has_text]))
    return torch.cat(places)


def place(scores_RC: Tensor, own_R1: Tensor) -> Tensor:
    """How many candidates stand before candidate `own`: higher score, or the same score and a lower index.

    What is not a number stands before everything: a broken model finds nothing.
    """
    own_score = scores_RC.gather(1, own_R1)
    not_lower = torch.arange(scores_RC.shape[1], device=scores_RC.device).unsqueeze(0) >= own_R1
    behind = (scores_RC < own_score) | ((scores_RC == own_score) & not_lower)
    return (~behind).sum(dim=1)


def _chunks(queries: Tensor, candidates: Tensor) -> Iterator[tuple[slice, Tensor]]:
    for start in range(0, len(queries), CHUNK):
        rows = slice(start, min(start + CHUNK, len(queries)))
        yield rows, queries[rows] @ candidates.T
