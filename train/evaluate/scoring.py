"""From features to the figures of a task.

Ties stand in the order of their index, lower first, in all three kinds of tasks (`train.heldout.ranking`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from engine.errors import UserError
from train.evaluate.classification import label_numbers, task_classes
from train.evaluate.embed import Embedded
from train.evaluate.encoder import Features
from train.evaluate.results import ClassDetail, RetrievalDetail
from train.evaluate.same_class import mean_average_precisions
from train.evaluate.sets.base import ImageSet
from train.evaluate.tasks import Kind, Task
from train.heldout.accuracy import accuracy, class_rows
from train.heldout.ranking import find_any, find_one, recall_table, recalls

# Best answers kept for the report.
KEPT = 5

TextEncoder = Callable[[Sequence[str]], Features]


class Scores(NamedTuple):
    """Attributes: metrics and sizes as in `TaskResult`; detail for the report."""

    metrics: Mapping[str, float]
    sizes: Mapping[str, int]
    detail: ClassDetail | RetrievalDetail | None


def score(task: Task, image_set: ImageSet, embedded: Embedded, encode_texts: TextEncoder) -> Scores:
    """Return the figures of a task, the same for the same features.

    Args:
        task: what is measured.
        image_set: where the images came from, for its own names of classes and templates.
        embedded: the features of its images and captions, as the model gives them.
        encode_texts: gives the features of the classes' texts, float32 [M, D].

    Returns:
        Fractions by name; the sizes `images` and `texts` or `classes`; what the report shows.

    Raises:
        UserError: no images or no captions, or labels that do not fit the task.
    """
    if not len(embedded.image) or (task.kind is Kind.RETRIEVAL and not embedded.texts):
        raise UserError(
            f"{task.name}: {image_set.where}: no images or no captions were read; nothing to score"
        )
    if task.kind is Kind.RETRIEVAL:
        return _score_retrieval(embedded, encode_texts)
    if task.kind is Kind.SAME_CLASS:
        return _score_same_class(embedded)
    return _score_classes(task, image_set, embedded, encode_texts)


def _score_classes(task: Task, image_set: ImageSet, embedded: Embedded, encode_texts: TextEncoder) -> Scores:
    classes = task_classes(task, image_set, embedded.labels)
    numbers = label_numbers(task, image_set, classes, embedded.keys, embedded.labels)
    image, label = unit(embedded.image), torch.from_numpy(numbers)
    found = {
        variant: find_one(image, classifier(classes.names, templates, encode_texts), label, KEPT)
        for variant, templates in classes.templates.items()
    }
    metrics = {
        f"{variant}/{name}": value
        for variant, one in found.items()
        for name, value in accuracy(one.place, label, len(classes.names)).items()
    }
    first = next(iter(found.values()))
    detail = ClassDetail(embedded.keys, classes.names, numbers, first.best.numpy())
    return Scores(metrics, {"images": len(image), "classes": len(classes.names)}, detail)


def classifier(names: Sequence[str], templates: Sequence[str], encode_texts: TextEncoder) -> Tensor:
    """Return one unit row a class, float32 [C, D]: the mean of its texts' unit features (CLIP's ensemble)."""
    texts = [template.replace("{}", name) for name in names for template in templates]
    return class_rows(unit(encode_texts(texts)).view(len(names), len(templates), -1))


def _score_same_class(embedded: Embedded) -> Scores:
    metrics = mean_average_precisions(torch.from_numpy(embedded.image), embedded.labels)
    return Scores(metrics, {"images": len(embedded.image), "classes": len(set(embedded.labels))}, None)


def _score_retrieval(embedded: Embedded, encode_texts: TextEncoder) -> Scores:
    image, text = unit(embedded.image), unit(encode_texts(embedded.texts))
    owner = torch.from_numpy(embedded.image_of_text)
    of_images = find_any(image, text, owner, KEPT)
    of_texts = find_one(text, image, owner, KEPT)
    metrics = recalls(of_images.place, of_texts.place)
    sources = list(dict.fromkeys(embedded.source_of_text))
    for source in sources if len(sources) > 1 else ():
        own = torch.tensor([name == source for name in embedded.source_of_text])
        table = recall_table(image, text[own], owner[own])
        metrics |= {f"{source}/{name}": value for name, value in table.items()}
    detail = RetrievalDetail(
        embedded.keys,
        embedded.texts,
        embedded.image_of_text,
        *(found.numpy() for found in (*of_texts, *of_images)),
    )
    return Scores(metrics, {"images": len(image), "texts": len(text)}, detail)


def unit(features: Features) -> Tensor:
    """Return rows of length 1, float32."""
    return F.normalize(torch.from_numpy(np.ascontiguousarray(features, np.float32)), dim=-1)
