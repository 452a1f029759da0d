"""GPR1200's mean average precision against scikit-learn, the official definition, and by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score

from engine.errors import UserError
from tests.train.tasks.kit import NamedSet, Texts, of_classes
from train.evaluate import registry
from train.evaluate.same_class import DOMAINS, average_precisions, mean_average_precisions
from train.evaluate.scoring import score


def by_hand(scores: NDArray[np.float64], label: list[int], query: int, exclude_self: bool) -> float:
    """Sort (score down, index up); the mean of hits so far / rank at every hit; nan without a hit."""
    order = sorted(range(len(label)), key=lambda at: (-scores[at], at))
    hits, total = 0, 0.0
    ranked = [at for at in order if not (exclude_self and at == query)]
    for rank, at in enumerate(ranked, 1):
        if label[at] == label[query]:
            hits += 1
            total += hits / rank
    return total / hits if hits else float("nan")


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_equals_the_definition_with_ties(data: st.DataObject) -> None:
    label = data.draw(st.lists(st.integers(0, 3), min_size=1, max_size=12))
    values = st.integers(-2, 2)
    image = np.array(data.draw(st.lists(st.tuples(values, values), min_size=len(label), max_size=len(label))))
    for exclude_self in (False, True):
        found = average_precisions(torch.tensor(image).float(), torch.tensor(label), exclude_self)
        scores = image @ image.T
        expected = [by_hand(scores[q], label, q, exclude_self) for q in range(len(label))]
        assert found.numpy() == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize("exclude_self", [False, True])
def test_scikit_learn_computes_the_same(exclude_self: bool) -> None:
    draw = np.random.default_rng(1)
    label = np.repeat(np.arange(30), 10)
    draw.shuffle(label)
    image = (draw.normal(size=(30, 8))[label] + draw.normal(0, 0.6, (300, 8))).astype(np.float32)
    found = average_precisions(torch.from_numpy(image), torch.from_numpy(label), exclude_self).numpy()
    scores = (torch.from_numpy(image) @ torch.from_numpy(image).T).numpy()
    for query in range(300):
        ranked = np.arange(300) != query if exclude_self else np.full(300, True)
        expected = average_precision_score((label == label[query])[ranked], scores[query][ranked])
        assert found[query] == pytest.approx(expected, abs=1e-12)
    assert 0.2 < found.mean() < 0.9


def gpr1200(
    draw: np.random.Generator, categories: list[int], each: int = 10
) -> tuple[NDArray[np.float32], list[str]]:
    label = np.repeat(categories, each)
    middle = {c: draw.normal(size=6) for c in categories}
    image = np.stack([middle[c] + draw.normal(0, 1, 6) for c in label])
    # Lengths that matter where features are not normalised.
    return (image * draw.uniform(0.2, 5, (len(label), 1))).astype(np.float32), [str(c) for c in label]


def test_domains_and_both_definitions() -> None:
    categories = [0, 7, 199, 200, 399, 400, 600, 800, 801, 1000, 1199]
    image, labels = gpr1200(np.random.default_rng(2), categories)
    table = mean_average_precisions(torch.from_numpy(image), labels)
    raw = image.astype(np.float64) @ image.astype(np.float64).T
    unit = image / np.linalg.norm(image, axis=1, keepdims=True)
    cosine = unit.astype(np.float64) @ unit.astype(np.float64).T
    label = [int(one) for one in labels]
    domain_of = [DOMAINS[c // 200] for c in label]
    for name, scores, exclude in (("map_official", raw, False), ("map_exclude_self", cosine, True)):
        expected = np.array([by_hand(scores[q], label, q, exclude) for q in range(len(label))])
        means = {d: expected[[x == d for x in domain_of]].mean() for d in DOMAINS}
        for domain, value in means.items():
            assert table[f"{domain}/{name}"] == pytest.approx(value, abs=1e-6)
        assert table[name] == pytest.approx(np.mean(list(means.values())), abs=1e-6)
    assert len(table) == 2 * 7
    # They are two figures: the query is found by itself, and long features come first.
    assert table["map_official"] != pytest.approx(table["map_exclude_self"], abs=0.01)


def test_categories_of_the_domains() -> None:
    """The slices of 2,000 images that the official code takes: its cl, iNat, sketch, instre, sop, faces."""
    place = {"landmarks": 150, "inat": 250, "sketch": 450, "instre": 650, "sop": 850, "faces": 1050}
    for domain, category in place.items():
        table = mean_average_precisions(torch.ones(2, 2), [str(category)] * 2)
        assert set(table) == {
            f"{p}{m}" for p in ("", f"{domain}/") for m in ("map_official", "map_exclude_self")
        }


def test_the_task() -> None:
    image, labels = gpr1200(np.random.default_rng(4), [3, 300])
    metrics, sizes, detail = score(registry.task("gpr1200"), NamedSet(), of_classes(image, labels), Texts(3))
    assert set(metrics) == {
        f"{p}{m}" for p in ("", "landmarks/", "inat/") for m in ("map_official", "map_exclude_self")
    }
    assert sizes == {"images": 20, "classes": 2}
    assert detail is None


def test_chunks_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    image, labels = gpr1200(np.random.default_rng(3), [1, 2, 700])
    whole = mean_average_precisions(torch.from_numpy(image), labels)
    monkeypatch.setattr("train.heldout.ranking.CHUNK", 7)
    assert mean_average_precisions(torch.from_numpy(image), labels) == pytest.approx(whole, abs=1e-12)


def test_a_collapsed_model_scores_near_chance() -> None:
    """Ties go by index: the first categories gain what the last ones lose."""
    labels = [str(c) for c in range(0, 1200, 6) for _ in range(10)]
    table = mean_average_precisions(torch.ones(2000, 4), labels)
    assert table["map_official"] < 0.02
    assert table["map_exclude_self"] < 0.02


def test_a_broken_image_gains_nothing() -> None:
    image, labels = gpr1200(np.random.default_rng(6), [1, 2])
    broken = np.full_like(image, np.nan)
    assert mean_average_precisions(torch.from_numpy(broken), labels)["map_official"] == 0
    right = torch.tensor([[1.0, 0], [float("nan"), 0], [0, 1], [0, 1]])
    found = average_precisions(right, torch.tensor([0, 0, 1, 1]), exclude_self=True)
    # The broken image is never found, and stands before the right one for others.
    assert found.tolist() == pytest.approx([0, 0, 1 / 2, 1 / 2])


def test_a_label_that_is_no_category() -> None:
    for label in ("1200", "landmark", "-1"):
        with pytest.raises(UserError, match="expected a category 0"):
            mean_average_precisions(torch.ones(1, 2), [label])
