"""Classification against CLIP_benchmark's whole evaluation of the same features, by hand, and at chance."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from clip_benchmark.metrics import zeroshot_classification
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from engine.errors import UserError
from tests.train.tasks.kit import NamedSet, Texts, of_classes
from train.evaluate import registry
from train.evaluate.resolve import own_task
from train.evaluate.results import ClassDetail
from train.evaluate.scoring import score
from train.evaluate.tasks import ClassName, Kind, Task

WIDTH = 16


class GivenFeatures:
    """CLIP_benchmark's model whose images and tokens are features already."""

    def encode_image(self, images: Tensor) -> Tensor:
        return images

    def encode_text(self, tokens: Tensor) -> Tensor:
        return tokens


def clip_benchmark_says(
    image: Tensor, label: Tensor, task: Task, variant: str, texts: Texts
) -> dict[str, float]:
    images = TensorDataset(image, label)
    images.classes = task.classes  # type: ignore[attr-defined]
    batches = DataLoader(images, batch_size=50)
    templates = [t.replace("{}", "{c}") for t in task.templates[variant]]
    names = [c.name for c in task.classes]
    found: dict[str, float] = zeroshot_classification.evaluate(
        GivenFeatures(), batches, lambda x: torch.from_numpy(texts(x)), names, templates, "cpu", amp=False
    )
    return found


# Its accuracy() makes a number of an array of one; scikit-learn sees classes without images.
@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true:UserWarning")
@pytest.mark.filterwarnings("ignore:Conversion of an array with ndim > 0:DeprecationWarning")
@pytest.mark.parametrize("name", ["svhn", "resisc45", "caltech101", "imagenet"])
def test_clip_benchmark_gives_the_same_numbers(name: str) -> None:
    task = registry.task(name)
    if name == "imagenet":
        task = dataclasses.replace(task, templates={"single": task.templates["single"]})
    variant = next(iter(task.templates))
    draw = np.random.default_rng(3)
    # ImageNet has "missile" and "sunglasses" twice: equal scores, which CLIP_benchmark orders at random.
    named = [one.name for one in task.classes]
    label = draw.choice([at for at, text in enumerate(named) if named.count(text) == 1], 400)
    texts = Texts(WIDTH)
    # Images near their class's first text, so that figures lie between chance and everything.
    near = texts([task.templates[variant][0].replace("{}", task.classes[n].name) for n in label])
    image = (7 * (near + draw.normal(0, 1.5, near.shape))).astype(np.float32)
    metrics, sizes, detail = score(task, NamedSet(), of_classes(image, [str(n) for n in label]), texts)
    expected = clip_benchmark_says(torch.from_numpy(image), torch.from_numpy(label), task, variant, texts)
    assert 0.02 < expected["acc1"] < 0.98
    assert metrics[f"{variant}/top_1"] == pytest.approx(expected["acc1"], abs=1e-12)
    assert metrics[f"{variant}/top_5"] == pytest.approx(expected["acc5"], abs=1e-12)
    recall = metrics[f"{variant}/mean_per_class_recall"]
    assert recall == pytest.approx(expected["mean_per_class_recall"], abs=1e-9)
    assert sizes == {"images": 400, "classes": len(task.classes)}
    assert isinstance(detail, ClassDetail)
    assert (detail.best[:, 0] == detail.label).mean() == pytest.approx(expected["acc1"])


def three(name: str = "colours") -> Task:
    classes = tuple(ClassName(n, (str(at), n, *more)) for at, (n, more) in enumerate(
        (("red", ()), ("green", ("Grass_like",)), ("blue", ()))
    ))  # fmt: skip
    return Task(name, name, Kind.CLASSES, classes, {"clip": ("a {}", "the {}")})


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_places_and_best_by_the_definition(data: st.DataObject) -> None:
    """Small whole numbers: many ties; scored by sorting in plain Python."""
    values = st.integers(-1, 1)
    vector = st.tuples(values, values, values)
    label = data.draw(st.lists(st.integers(0, 2), min_size=1, max_size=9))
    image = data.draw(st.lists(vector, min_size=len(label), max_size=len(label)))
    rows = {f"a {n}": data.draw(vector) for n in ("red", "green", "blue")}
    task = dataclasses.replace(three(), templates={"clip": ("a {}",)})
    metrics, _, detail = score(
        task,
        NamedSet(),
        of_classes(np.array(image, np.float32), [str(n) for n in label]),
        lambda texts: np.array([rows[t] for t in texts], np.float32),
    )
    length = {t: float(np.linalg.norm(v)) or 1.0 for t, v in rows.items()}
    orders = []
    for one in image:
        # Cosines up to the image's own length, which orders nothing; rounded, since ties are ties of float32.
        scores = [round(float(np.dot(one, v)) / length[t], 4) for t, v in rows.items()]
        orders.append(sorted(range(3), key=lambda n, s=scores: (-s[n], n)))  # type: ignore[misc]
    hits = [order[0] == n for order, n in zip(orders, label, strict=True)]
    assert metrics["clip/top_1"] == pytest.approx(np.mean(hits))
    per_class = [np.mean([h for h, n in zip(hits, label, strict=True) if n == c]) for c in set(label)]
    assert metrics["clip/mean_per_class_recall"] == pytest.approx(np.mean(per_class))
    assert "clip/top_5" not in metrics
    assert isinstance(detail, ClassDetail)
    assert detail.best.tolist() == orders


def test_a_collapsed_model_scores_chance() -> None:
    task = registry.task("imagenet")
    task = dataclasses.replace(task, templates={"single": task.templates["single"]})
    labels = [str(n) for n in range(1000)]
    metrics, *_ = score(
        task,
        NamedSet(),
        of_classes(np.ones((1000, 4), np.float32), labels),
        lambda t: np.ones((len(t), 4), np.float32),
    )
    assert metrics["single/top_1"] == pytest.approx(1 / 1000)
    assert metrics["single/top_10"] == pytest.approx(10 / 1000)
    assert metrics["single/mean_per_class_recall"] == pytest.approx(1 / 1000)


def test_labels_by_any_of_their_names() -> None:
    texts = Texts(WIDTH)
    image = texts(["a red", "a green", "a green", "a blue"])
    labels = ["RED", "grass like", "1", "Blue"]
    metrics, _, detail = score(three(), NamedSet(), of_classes(image, labels), texts)
    assert isinstance(detail, ClassDetail)
    assert detail.label.tolist() == [0, 1, 1, 2]
    assert metrics["clip/top_1"] == 1


def test_a_label_that_is_no_class_is_named() -> None:
    with pytest.raises(UserError, match=r"image 1 has label 'gren'.*did you mean green\?"):
        score(three(), NamedSet(), of_classes(np.ones((2, 4), np.float32), ["red", "gren"]), Texts(4))
    with pytest.raises(UserError, match="label '3'"):
        score(three(), NamedSet(), of_classes(np.ones((1, 4), np.float32), ["3"]), Texts(4))


def test_a_set_that_counts_its_classes_otherwise_is_read_by_their_names() -> None:
    """As torchvision's order of Caltech-101 beside VTAB's, in CLIP_benchmark's layout."""
    other = NamedSet(labels=("0", "1", "2"), classnames=("blue", "red", "some green"))
    texts = Texts(WIDTH)
    _, _, detail = score(three(), other, of_classes(texts(["a", "b", "c"]), ["0", "1", "2"]), texts)
    assert isinstance(detail, ClassDetail)
    assert detail.label.tolist() == [2, 0, 2]


def test_own_classes_are_the_folders() -> None:
    texts = Texts(WIDTH)
    image = texts(["A photo of a red box.", "A photo of a blue box.", "A photo of a red box."])
    found = of_classes(image, ["red_box", "blue_box", "blue_box"])
    metrics, sizes, detail = score(own_task("boxes"), NamedSet(), found, texts)
    assert isinstance(detail, ClassDetail)
    assert detail.names == ("blue box", "red box")
    assert metrics["single/top_1"] == pytest.approx(2 / 3)
    assert sizes == {"images": 3, "classes": 2}


def test_own_classes_as_the_set_names_them() -> None:
    brought = NamedSet(("0", "1", "10"), ("a cube", "a ball", "a cone"), ("{} here", "there is {}"))
    texts = Texts(WIDTH)
    metrics, sizes, _ = score(own_task("toys"), brought, of_classes(texts(["a", "b"]), ["10", "0"]), texts)
    assert "own/top_1" in metrics
    assert "there is a cone" in texts.known
    assert sizes["classes"] == 3


def test_names_that_do_not_fit() -> None:
    with pytest.raises(UserError, match="2 class names, but 3 classes"):
        score(own_task("x"), NamedSet("abc", "ab"), of_classes(np.ones((1, 4), np.float32), ["a"]), Texts(4))


def test_nothing_to_score() -> None:
    with pytest.raises(UserError, match="no images"):
        score(three(), NamedSet(), of_classes(np.empty((0, 4), np.float32), []), Texts(4))
