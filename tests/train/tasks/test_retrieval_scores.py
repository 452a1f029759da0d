"""Retrieval against CLIP_benchmark's whole evaluation of the same features, and by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from clip_benchmark.metrics import zeroshot_retrieval
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from engine.errors import UserError
from tests.train.tasks.kit import NamedSet, Texts, of_captions
from tests.train.tasks.test_classes import GivenFeatures
from train.evaluate import registry
from train.evaluate.results import RetrievalDetail
from train.evaluate.scoring import score

COCO = registry.task("coco")


def features(draw: np.random.Generator, owner: NDArray[np.int64]) -> tuple[NDArray[np.float32], ...]:
    image = draw.normal(size=(int(owner.max()) + 1, 12))
    text = image[owner] + draw.normal(0, 1.2, (len(owner), 12))
    return (3 * image).astype(np.float32), (0.2 * text).astype(np.float32)


@pytest.mark.parametrize("captions", [1, 5])
def test_clip_benchmark_gives_the_same_numbers(captions: int) -> None:
    """Raw features of any length, five captions an image in any order of images."""
    owner = np.repeat(np.arange(230), captions)
    image, text = features(np.random.default_rng(captions), owner)
    by_image = [text[owner == n] for n in range(len(image))]
    batches = [
        (torch.from_numpy(image[at : at + 64]), by_image[at : at + 64]) for at in range(0, len(image), 64)
    ]
    expected = zeroshot_retrieval.evaluate(
        GivenFeatures(),
        batches,
        lambda rows: torch.from_numpy(np.stack(rows)),
        "cpu",
        amp=False,
        recall_k_list=[1, 5, 10],
    )
    metrics, sizes, _ = score(COCO, NamedSet(), of_captions(image, owner), lambda _: text)
    for k in (1, 5, 10):
        assert 0.1 < expected[f"text_retrieval_recall@{k}"] < 1
        found = metrics[f"image_to_text_r@{k}"], metrics[f"text_to_image_r@{k}"]
        theirs = expected[f"text_retrieval_recall@{k}"], expected[f"image_retrieval_recall@{k}"]
        assert found == pytest.approx(theirs, abs=1e-6)
    assert sizes == {"images": 230, "texts": 230 * captions}


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_what_every_query_found(data: st.DataObject) -> None:
    """Many ties, images without a text, texts in any order: sorted in plain Python."""
    images = data.draw(st.integers(1, 7))
    owner = data.draw(st.lists(st.integers(0, images - 1), min_size=1, max_size=12))
    # Powers of two keep cosines exact: ties stay ties.
    axes = st.sampled_from([(1, 0), (0, 1), (-2, 0), (0, -4), (8, 0), (0, 0)])
    image = np.array(data.draw(st.lists(axes, min_size=images, max_size=images)), np.float32)
    text = np.array(data.draw(st.lists(axes, min_size=len(owner), max_size=len(owner))), np.float32)
    metrics, _, detail = score(COCO, NamedSet(), of_captions(image, owner), lambda _: text)
    scores = np.sign(image) @ np.sign(text).T
    assert isinstance(detail, RetrievalDetail)
    texts_by_image = [sorted(range(len(owner)), key=lambda j: (-row[j], j)) for row in scores]
    images_by_text = [sorted(range(images), key=lambda i: (-column[i], i)) for column in scores.T]
    assert detail.image_best.tolist() == [order[:5] for order in texts_by_image]
    assert detail.text_best.tolist() == [order[:5] for order in images_by_text]
    own = [
        next((at for at, j in enumerate(order) if owner[j] == i), -1)
        for i, order in enumerate(texts_by_image)
    ]
    assert detail.image_place.tolist() == own
    places = [order.index(owner[j]) for j, order in enumerate(images_by_text)]
    assert detail.text_place.tolist() == places
    assert metrics["text_to_image_r@5"] == pytest.approx(np.mean([p < 5 for p in places]))
    assert metrics["image_to_text_r@1"] == pytest.approx(np.mean([p == 0 for p in own if p >= 0]))


def test_chunks_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    owner = np.random.default_rng(0).integers(0, 40, 130)
    owner[0] = 39
    image, text = features(np.random.default_rng(0), owner)
    whole = score(COCO, NamedSet(), of_captions(image, owner), lambda _: text)
    monkeypatch.setattr("train.heldout.ranking.CHUNK", 7)
    parts = score(COCO, NamedSet(), of_captions(image, owner), lambda _: text)
    assert parts.metrics == whole.metrics
    assert isinstance(parts.detail, RetrievalDetail)
    assert isinstance(whole.detail, RetrievalDetail)
    for name in ("text_place", "text_best", "image_place", "image_best"):
        assert (getattr(parts.detail, name) == getattr(whole.detail, name)).all()


def test_each_source_of_captions_alone() -> None:
    owner = np.repeat(np.arange(30), 2)
    image, text = features(np.random.default_rng(5), owner)
    sources = ["alttext", "vecap"] * 30
    metrics, *_ = score(COCO, NamedSet(), of_captions(image, owner, sources), lambda _: text)
    alone, *_ = score(COCO, NamedSet(), of_captions(image, owner[::2]), lambda _: text[::2])
    assert {f"alttext/{name}": value for name, value in alone.items()}.items() <= metrics.items()
    assert metrics["vecap/text_to_image_r@1"] != metrics["text_to_image_r@1"]


def test_a_collapsed_model_scores_chance() -> None:
    owner = np.repeat(np.arange(100), 5)
    metrics, *_ = score(
        COCO,
        NamedSet(),
        of_captions(np.ones((100, 3), np.float32), owner),
        lambda t: np.ones((len(t), 3), np.float32),
    )
    assert metrics["text_to_image_r@10"] == pytest.approx(0.1)
    assert metrics["image_to_text_r@5"] == pytest.approx(0.01)
    assert metrics["image_to_text_r@10"] == pytest.approx(0.02)


def test_a_broken_model_finds_nothing() -> None:
    owner = np.arange(20)
    image = np.full((20, 3), np.nan, np.float32)
    metrics, *_ = score(COCO, NamedSet(), of_captions(image, owner), Texts(3))
    assert set(metrics.values()) == {0.0}


def test_no_captions() -> None:
    with pytest.raises(UserError, match="no captions"):
        score(COCO, NamedSet(), of_captions(np.ones((2, 3), np.float32), []), Texts(3))
