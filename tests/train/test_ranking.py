"""Recall at k against its definition, spelled out by sorting in plain Python."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from train.heldout.ranking import recall_table
from train.heldout.retrieval import Features, interleave


def brute_force(scores: np.ndarray, owner: list[int], k: int) -> tuple[float, float]:
    """Sort each query's candidates by (score down, index up); is a correct one in the first k?"""
    images, texts = scores.shape
    found_texts = []
    for i in range(images):
        if i in owner:
            order = sorted(range(texts), key=lambda j: (-scores[i, j], j))
            found_texts.append(any(owner[j] == i for j in order[:k]))
    found_images = []
    for j in range(texts):
        order = sorted(range(images), key=lambda i: (-scores[i, j], i))
        found_images.append(owner[j] in order[:k])
    return float(np.mean(found_texts)), float(np.mean(found_images))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_equals_the_definition_with_ties_and_any_number_of_captions(data: st.DataObject) -> None:
    images = data.draw(st.integers(1, 7))
    owner = data.draw(st.lists(st.integers(0, images - 1), min_size=1, max_size=12))
    # Small whole numbers: exact products and many ties.
    values = st.integers(-1, 1)
    image = np.array(data.draw(st.lists(st.tuples(values, values), min_size=images, max_size=images)))
    text = np.array(data.draw(st.lists(st.tuples(values, values), min_size=len(owner), max_size=len(owner))))
    table = recall_table(
        torch.tensor(image).float(), torch.tensor(text).float(), torch.tensor(owner), ks=(1, 3)
    )
    for k in (1, 3):
        of_images, of_texts = brute_force(image @ text.T, owner, k)
        assert table[f"image_to_text_r@{k}"] == pytest.approx(of_images)
        assert table[f"text_to_image_r@{k}"] == pytest.approx(of_texts)


def test_a_model_that_says_the_same_of_everything_scores_chance() -> None:
    ones = torch.ones(20, 3)
    table = recall_table(ones, ones, torch.arange(20), ks=(1, 5))
    assert table["image_to_text_r@1"] == table["text_to_image_r@1"] == pytest.approx(1 / 20)
    assert table["text_to_image_r@5"] == pytest.approx(5 / 20)


def test_chunks_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    image, text = torch.randn(30, 8, generator=generator), torch.randn(70, 8, generator=generator)
    owner = torch.randint(0, 30, (70,), generator=generator)
    whole = recall_table(image, text, owner)
    monkeypatch.setattr("train.heldout.ranking.CHUNK", 7)
    assert recall_table(image, text, owner) == whole


@pytest.mark.parametrize("ranks", [1, 2, 3, 4])
def test_shares_of_ranks_come_back_in_the_sets_own_order(ranks: int) -> None:
    owner = torch.tensor([0, 0, 1, 3, 3, 3, 4, 6])  # images 2 and 5 have no text
    whole = Features(torch.arange(7.0).view(7, 1), torch.arange(8.0).view(8, 1), owner, torch.arange(8) % 3)
    shares = []
    for rank in range(ranks):
        mine = owner % ranks == rank
        of_mine = owner[mine] // ranks, whole.source_of_text[mine]
        shares.append(Features(whole.image[rank::ranks], whole.text[mine], *of_mine))
    back = interleave(shares)
    assert torch.equal(back.image, whole.image)
    assert torch.equal(back.text, whole.text)
    assert torch.equal(back.image_of_text, whole.image_of_text)
    assert torch.equal(back.source_of_text, whole.source_of_text)
