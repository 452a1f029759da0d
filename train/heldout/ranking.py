"""Recall at k in both directions, from features; any number of captions an image.

Definition (CLIP's, as CLIP_benchmark computes it): a query counts 1 when any of its correct items is among
the k best, 0 otherwise; the mean over queries. Queries of image-to-text are the images that have a caption,
of text-to-image all captions.

Ties: candidates are ordered by score, then by index, so the lower index wins. A model that gives everything
the same score thus scores chance, and no run depends on a sort's whims.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

KS = (1, 5, 10)
# Rows of the score matrix held at a time: 1024 x 25,000 texts of COCO is 100 MB.
CHUNK = 1024


class Found(NamedTuple):
    """What the queries of one direction find.

    Attributes:
        place: int64 [Q], how many candidates stand before a query's own (the best placed one of them);
            -1 where it has none.
        best: int64 [Q, <= keep], the first candidates, best first.
    """

    place: Tensor
    best: Tensor


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
    of_images = find_any(image_ND, text_MD, image_of_text_M)
    of_texts = find_one(text_MD, image_ND, image_of_text_M)
    return recalls(of_images.place, of_texts.place, ks)


def recalls(of_images: Tensor, of_texts: Tensor, ks: Sequence[int] = KS) -> dict[str, float]:
    """R@k from the places of `find_any` and `find_one`; images without a text are no queries."""
    table = {}
    for name, places in (("image_to_text", of_images[of_images >= 0]), ("text_to_image", of_texts)):
        for k in ks:
            table[f"{name}_r@{k}"] = float((places < k).double().mean()) if len(places) else float("nan")
    return table


def find_one(query_QD: Tensor, candidate_CD: Tensor, own_Q: Tensor, keep: int = 0) -> Found:
    """What each query (a text, an image) finds, and how many candidates come before its one own."""
    keep = min(keep, len(candidate_CD))
    places, bests = [torch.empty(0, dtype=torch.int64)], [torch.empty(0, keep, dtype=torch.int64)]
    for rows, scores in chunks(query_QD, candidate_CD):
        places.append(place(scores, own_Q[rows].unsqueeze(1)))
        bests.append(best(scores, keep))
    return Found(torch.cat(places), torch.cat(bests))


def find_any(image_ND: Tensor, text_MD: Tensor, image_of_text_M: Tensor, keep: int = 0) -> Found:
    """What each of N images finds among M texts, and how many come before the best placed of its own."""
    keep = min(keep, len(text_MD))
    places, bests = [torch.empty(0, dtype=torch.int64)], [torch.empty(0, keep, dtype=torch.int64)]
    for rows, scores in chunks(image_ND, text_MD):
        number = torch.arange(rows.start, rows.stop, device=scores.device).unsqueeze(1)
        correct = image_of_text_M.unsqueeze(0) == number
        # argmax takes the first of equal values on every device only for integers; the first best correct
        # text is found through its index instead.
        top = scores.masked_fill(~correct, -torch.inf).amax(dim=1, keepdim=True)
        index = torch.arange(scores.shape[1], device=scores.device)
        top_correct = correct & ((scores == top) | top.isnan())
        first = torch.where(top_correct, index, scores.shape[1]).amin(dim=1, keepdim=True)
        has_text = correct.any(dim=1)
        found = torch.full((len(scores),), -1)
        found[has_text] = place(scores[has_text], first[has_text])
        places.append(found)
        bests.append(best(scores, keep))
    return Found(torch.cat(places), torch.cat(bests))


def best(scores_RC: Tensor, keep: int) -> Tensor:
    """Return the first candidates of each row, int64 [R, min(keep, C)]: by score, then by index.

    `topk` promises no order among equal scores, so rows where the cut or the order falls among such are
    sorted stably instead.
    """
    keep = min(keep, scores_RC.shape[1])
    if not keep:
        return torch.empty(len(scores_RC), 0, dtype=torch.int64)
    values, index = scores_RC.topk(min(keep + 1, scores_RC.shape[1]), dim=1)
    unclear = (~(values[:, :-1] > values[:, 1:])).any(dim=1)
    found = index[:, :keep]
    found[unclear] = scores_RC[unclear].argsort(dim=1, descending=True, stable=True)[:, :keep]
    return found


def place(scores_RC: Tensor, own_R1: Tensor) -> Tensor:
    """How many candidates stand before candidate `own`: higher score, or the same score and a lower index.

    What is not a number stands before everything: a broken model finds nothing.
    """
    own_score = scores_RC.gather(1, own_R1)
    not_lower = torch.arange(scores_RC.shape[1], device=scores_RC.device).unsqueeze(0) >= own_R1
    behind = (scores_RC == own_score) & not_lower
    behind |= scores_RC < own_score
    # Booleans add up twice as fast in 32 bits, where a candidate's number fits too.
    found: Tensor = scores_RC.shape[1] - behind.sum(dim=1, dtype=torch.int32).long()
    return found


def chunks(queries: Tensor, candidates: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Yield the scores of a few queries against all candidates: their rows, float32 [<= CHUNK, C]."""
    for start in range(0, len(queries), CHUNK):
        rows = slice(start, min(start + CHUNK, len(queries)))
        yield rows, queries[rows] @ candidates.T
