"""The two sides of benchmarks.evaluate are asked the same."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from benchmarks.evaluate.work import KS, rank_ours, rank_theirs


def test_both_sides_rank_the_same_features_alike() -> None:
    draws = torch.Generator().manual_seed(1)
    image = functional.normalize(torch.randn(70, 16, generator=draws), dim=-1)
    owner = torch.arange(70).repeat_interleave(3)[torch.randperm(210, generator=draws)]
    text = functional.normalize(image[owner] + 0.6 * torch.randn(210, 16, generator=draws), dim=-1)
    ours, theirs = rank_ours(image, text, owner), rank_theirs(image, text, owner)
    for k in KS:
        assert ours[f"text_to_image_r@{k}"] == pytest.approx(theirs[f"image_retrieval_recall@{k}"])
        assert ours[f"image_to_text_r@{k}"] == pytest.approx(theirs[f"text_retrieval_recall@{k}"])
    assert ours["text_to_image_r@1"] > 1 / 70
