"""What the page shows of one task: its worst retrievals or its most confused classes, with their pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from train.evaluate.report.pictures import Pictures
from train.evaluate.report.worst import Confusion, Integers, confusions, furthest, weakest
from train.evaluate.results import ClassDetail, RetrievalDetail, TaskResult
from train.evaluate.table import measured

WORST, FOUND = 8, 5
PAIRS, EXAMPLES, OTHERS = 8, 4, 2
WEAK_CLASSES = 20
REJECTS = 20
# A caption may be a page long; what it says first is enough to know it by.
LONGEST_TEXT = 300
Section = dict[str, Any]


def section(result: TaskResult, pictures: Pictures) -> Section:
    """Of JSON's kinds; `pictures` takes up what it shows."""
    shown = {
        "name": result.task.name,
        "title": result.task.title,
        "where": result.where,
        "measured": measured(result),
        "seconds": round(result.seconds, 1),
        "rejects": [
            [_cut(reject.key), reject.code, _cut(reject.message)] for reject in result.rejects[:REJECTS]
        ],
        "left_out": len(result.rejects),
    }
    if isinstance(result.detail, ClassDetail):
        shown["classes"] = _classes(result, result.detail, pictures)
    elif isinstance(result.detail, RetrievalDetail):
        shown["retrieval"] = _retrieval(result, result.detail, pictures)
    return shown


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_TEXT else text[: LONGEST_TEXT - 1] + "…"


def _taken_up(
    result: TaskResult, keys: list[str], images: Iterable[int], pictures: Pictures
) -> Callable[[int], Section]:
    """Reads the pictures of these images at once; gives each by its index."""
    wanted = [keys[image] for image in images]
    numbers = pictures.add(result.pictures, wanted)
    return lambda image: {"key": keys[image], "picture": numbers[keys[image]]}


# --- retrieval -------------------------------------------------------------------------------------------


def _retrieval(result: TaskResult, detail: RetrievalDetail, pictures: Pictures) -> Section:
    to_text = furthest(detail.image_place, WORST)
    to_image = furthest(detail.text_place, WORST)
    own = [int(detail.image_of_text[text]) for text in to_image]
    found = [int(image) for text in to_image for image in detail.text_best[text, :FOUND]]
    picture = _taken_up(result, detail.keys, [*to_text, *own, *found], pictures)
    return {
        "to_text": {
            **_places(detail.image_place, len(detail.texts)),
            "worst": [{**picture(image), **_image_query(detail, image)} for image in to_text],
        },
        "to_image": {
            **_places(detail.text_place, len(detail.keys)),
            "worst": [
                {
                    "text": _cut(detail.texts[text]),
                    "place": int(detail.text_place[text]) + 1,
                    "own": picture(image),
                    "found": [
                        {**picture(int(other)), "own": bool(other == image)}
                        for other in detail.text_best[text, :FOUND]
                    ],
                }
                for text, image in zip(to_image, own, strict=True)
            ],
        },
    }


def _places(place: Integers, among: int) -> Section:
    asked = place[place >= 0]
    return {
        "queries": len(asked),
        "missed": int((asked > 0).sum()),
        "median": float(np.median(asked)) + 1 if len(asked) else None,
        "among": among,
    }


def _image_query(detail: RetrievalDetail, image: int) -> Section:
    own = np.flatnonzero(detail.image_of_text == image)
    return {
        "place": int(detail.image_place[image]) + 1,
        "own": [_cut(detail.texts[text]) for text in own[:FOUND]],
        "more": max(0, len(own) - FOUND),
        "found": [
            {"text": _cut(detail.texts[text]), "own": bool(detail.image_of_text[text] == image)}
            for text in detail.image_best[image, :FOUND]
        ],
    }


# --- classes ---------------------------------------------------------------------------------------------


def _classes(result: TaskResult, detail: ClassDetail, pictures: Pictures) -> Section:
    found = detail.best[:, 0]
    pairs, kinds = confusions(detail.label, found, PAIRS, EXAMPLES)
    others = [np.flatnonzero(detail.label == pair.taken_for)[:OTHERS] for pair in pairs]
    images = [int(i) for pair, other in zip(pairs, others, strict=True) for i in (*pair.examples, *other)]
    picture = _taken_up(result, detail.keys, images, pictures)
    name = [_cut(text) for text in detail.names].__getitem__
    return {
        "images": len(detail.label),
        "wrong": int((detail.label != found).sum()),
        "kinds": kinds,
        "pairs": [
            _pair(pair, name) | {
                "examples": [picture(int(image)) for image in pair.examples],
                "others": [picture(int(image)) for image in other],
            }
            for pair, other in zip(pairs, others, strict=True)
        ],
        "weakest": [
            [name(weak.label), weak.right, weak.images, name(weak.taken_for), weak.count]
            for weak in weakest(detail.label, found, WEAK_CLASSES)
        ],
    }  # fmt: skip


def _pair(pair: Confusion, name: Callable[[int], str]) -> Section:
    return {
        "label": name(pair.label),
        "taken_for": name(pair.taken_for),
        "count": pair.count,
        "images": pair.images,
    }
