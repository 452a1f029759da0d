"""Losses by source against the training loss on pairs put together by hand."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from train.heldout import validation
from train.heldout.validation import loss_names, source_losses
from train.model.loss import LossConfig, Pairs, contrastive_loss


def test_each_source_is_contrasted_with_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(validation, "CONTRASTED", 3)
    draw = torch.Generator().manual_seed(0)
    image = F.normalize(torch.randn(8, 5, generator=draw), dim=1)
    # Source 0: every image, twice; source 2: all but image 1, once; source 1: one text, no loss.
    owner = torch.tensor([i for i in range(8) for _ in range(3 if i != 1 else 2)] + [7])
    source = torch.tensor([s for i in range(8) for s in ((0, 0, 2) if i != 1 else (0, 0))] + [1])
    text = F.normalize(torch.randn(len(owner), 5, generator=draw), dim=1)
    found = source_losses(image, text, owner, source, scale=4.0)

    def expected(images: list[list[int]], number: int, first: int) -> float:
        rows = [
            [int(((owner == i) & (source == number)).nonzero()[first]) for i in group] for group in images
        ]
        losses = [
            float(contrastive_loss(Pairs(image[group], text[texts], torch.tensor(4.0)), LossConfig()))
            for group, texts in zip(images, rows, strict=True)
        ]
        return sum(losses) / len(losses)

    assert found.keys() == {0, 2}
    assert found[0] == pytest.approx(expected([[0, 1, 2], [3, 4, 5]], 0, 0))
    assert found[2] == pytest.approx(expected([[0, 2, 3], [4, 5, 6]], 2, 0))
    assert loss_names(found, ["alttext", "vec", "vecap"]).keys() == {"loss/alttext", "loss/vecap"}


def test_chance_is_the_logarithm_of_the_group() -> None:
    one = F.normalize(torch.ones(600, 4), dim=1)
    number = torch.arange(600)
    losses = source_losses(one, one, number, torch.zeros(600, dtype=torch.int64), scale=100.0)
    assert losses == {0: pytest.approx(math.log(validation.CONTRASTED))}
    assert source_losses(one[:1], one[:1], number[:1], number[:1], 1.0) == {}
