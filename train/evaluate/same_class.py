"""Mean average precision of images by images: GPR1200, both ways that it is computed.

Two definitions are in use, and differ by a few points:

- the official code (github.com/Visual-Computing/GPR1200, eval/utils.py): all images are ranked by the product
  of the features as the model gives them, not normalised, the query itself among them and one of its own
  class; the mean of precision at each image of the class;
- VeCLIP's text (section 4.1: "utilize the remaining images as the index set"): the query left out, by cosine.

Ties: by score, then by index, and what is not a number is found by nobody, as in `train.heldout.ranking`.
A query without another image of its class is left out of the second mean. (The official code sorts with
NumPy's quicksort, which leaves ties to chance.)
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.errors import UserError
from train.heldout.ranking import chunks, place

# In the order of their categories, 200 of 10 images each (GPR1200's evaluation takes 2,000 images at a time).
DOMAINS = ("landmarks", "inat", "sketch", "instre", "sop", "faces")
CATEGORIES = 200


def mean_average_precisions(image_ND: Tensor, labels: Sequence[str]) -> dict[str, float]:
    """Both figures of GPR1200, of each domain and of all.

    Args:
        image_ND: float32, as the model gives them.
        labels: category of each image, numbers 0 ... 1,199.

    Returns:
        `DOMAIN/map_official`, `DOMAIN/map_exclude_self` for the domains that have images, and
        `map_official`, `map_exclude_self`: their mean.

    Raises:
        UserError: a label that is no category.
    """
    category = torch.tensor([_category(label) for label in labels], dtype=torch.int64)
    found = {
        "map_official": average_precisions(image_ND, category),
        "map_exclude_self": average_precisions(F.normalize(image_ND, dim=-1), category, exclude_self=True),
    }
    table: dict[str, float] = {}
    for name, precisions in found.items():
        domains = {
            domain: float(precisions[category // CATEGORIES == at].nanmean())
            for at, domain in enumerate(DOMAINS)
            if (category // CATEGORIES == at).any()
        }
        table |= {f"{domain}/{name}": value for domain, value in domains.items()}
        table[name] = sum(domains.values()) / len(domains) if domains else float("nan")
    return table


def _category(label: str) -> int:
    if label.isdecimal() and int(label) < CATEGORIES * len(DOMAINS):
        return int(label)
    raise UserError(
        f"gpr1200: class {label!r} given; expected a category 0 ... {CATEGORIES * len(DOMAINS) - 1}, "
        "what stands before the _ in the names of its images"
    )


def average_precisions(image_ND: Tensor, label_N: Tensor, exclude_self: bool = False) -> Tensor:
    """Average precision of every image as a query, float64 [N]; NaN where it has nothing to find.

    AP = sum over its class's images of (how many of the class are ranked up to here) / (rank), divided by how
    many there are: what `sklearn.metrics.average_precision_score` computes where no scores tie. Time grows
    with the size of the largest class.

    Args:
        image_ND: float32.
        label_N: int64, from 0.
        exclude_self: the query is neither ranked nor to be found.
    """
    own_NP = _classmates(label_N, exclude_self)
    found = [torch.empty(0, dtype=torch.float64)]
    for rows, scores in chunks(image_ND, image_ND):
        if exclude_self:
            scores.diagonal(rows.start).fill_(-torch.inf)
        places = torch.stack([_places(scores, own) for own in own_NP[rows].T.unsqueeze(2)], dim=1)
        found.append(_average_precision(places, (own_NP[rows] >= 0).sum(dim=1)))
    return torch.cat(found)


def _classmates(label_N: Tensor, exclude_self: bool) -> Tensor:
    """Return the images of each one's class, int64 [N, size of the largest], padded with -1."""
    count = label_N.bincount()
    by_class = label_N.argsort(stable=True)
    step = torch.arange(int(count.max()))
    at = (count.cumsum(0) - count)[label_N].unsqueeze(1) + step
    own = by_class[at.clamp(max=len(label_N) - 1)]
    own[step >= count[label_N].unsqueeze(1)] = -1
    if exclude_self:
        own[own == torch.arange(len(label_N)).unsqueeze(1)] = -1
    return own


def _places(scores_RC: Tensor, own_R1: Tensor) -> Tensor:
    """How many stand before each own one, float64 [R]; infinite where there is none or it is never found."""
    own = own_R1.clamp(min=0)
    never = (own_R1 < 0) | scores_RC.gather(1, own).isnan()
    return place(scores_RC, own).double().masked_fill(never[:, 0], torch.inf)


def _average_precision(places_RP: Tensor, count_R: Tensor) -> Tensor:
    ranks = places_RP.sort(dim=1).values + 1
    hits = torch.arange(1, ranks.shape[1] + 1)
    return (hits / ranks).sum(dim=1) / count_R
