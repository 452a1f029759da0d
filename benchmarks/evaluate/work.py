"""One turn of one side, in a process of its own: `python -m benchmarks.evaluate.work '{...}'` prints JSON."""

from __future__ import annotations

import contextlib
import importlib
import json
import resource
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

KS = [1, 5, 10]
TEMPLATE = "A photo of a {}."
TINY = "bench-tiny"
MODULES = {
    "ours": ("train.evaluate.models", "train.evaluate.scoring", "train.evaluate.sets.open"),
    "theirs": (
        "clip_benchmark.metrics.zeroshot_classification",
        "clip_benchmark.metrics.zeroshot_retrieval",
        "clip_benchmark.models",
    ),
}


@dataclass(frozen=True)
class Work:
    """What is measured.

    Attributes:
        side: `ours` or `theirs`.
        task: `classes` (1,000 images, their classes, one prompt), `retrieval`, or `ranking` (features only).
        place: folder made by `benchmarks.evaluate.data`.
        model: a name of open_clip's, or `bench-tiny`.
        bf16: autocast, which CLIP_benchmark has on unless told otherwise.
    """

    side: str
    task: str
    place: str
    model: str = TINY
    bf16: bool = False

    def words(self) -> list[str]:
        """How to start it."""
        return [sys.executable, "-m", "benchmarks.evaluate.work", json.dumps(asdict(self))]


def ours(work: Work) -> dict[str, float]:
    """By the rooms of train.evaluate, without a cache."""
    from train.evaluate.embed import EmbedOptions, embed_set, embed_texts
    from train.evaluate.encoder import ModelOptions
    from train.evaluate.models import open_encoder
    from train.evaluate.scoring import score
    from train.evaluate.sets import open_set
    from train.evaluate.tasks import ClassName, Kind, Task

    place, options = Path(work.place), EmbedOptions()
    weights = str(place / f"{work.model}.pt")
    encoder = open_encoder(ModelOptions(work.model, weights, precision="bf16" if work.bf16 else "fp32"))
    if work.task == "classes":
        names = json.loads((place / "classes.json").read_text())
        classes = tuple(ClassName(name, (label,)) for label, name in names.items())
        task = Task("bench", "bench", Kind.CLASSES, classes, {"single": (TEMPLATE,)})
        images = open_set(place / "classes", Kind.CLASSES, task)
    else:
        task = Task("bench", "bench", Kind.RETRIEVAL)
        images = open_set(place / "retrieval", Kind.RETRIEVAL, task)
    embedded = embed_set(images, encoder, options)
    found = score(task, images, embedded, lambda texts: embed_texts(texts, encoder, options))
    return dict(found.metrics)


def theirs(work: Work) -> dict[str, float]:
    """As `clip_benchmark eval` does with its own defaults: batches of 64, four worker processes."""
    from clip_benchmark.datasets.builder import get_dataset_collate_fn
    from clip_benchmark.datasets.flickr import Flickr
    from clip_benchmark.metrics import zeroshot_classification, zeroshot_retrieval
    from clip_benchmark.models import load_clip
    from torch.utils.data import DataLoader
    from torchvision.datasets import ImageFolder

    place = Path(work.place)
    weights = str(place / f"{work.model}.pt")
    model, transform, tokenizer = load_clip("open_clip", work.model, weights, None, "cpu")
    model.eval()
    if work.task == "classes":
        dataset: Any = ImageFolder(str(place / "classes"), transform=transform)
        dataset.classes = list(json.loads((place / "classes.json").read_text()).values())
        found: dict[str, float] = zeroshot_classification.evaluate(
            model, DataLoader(dataset, 64, num_workers=4), tokenizer, dataset.classes,
            [TEMPLATE.replace("{}", "{c}")], device="cpu", amp=work.bf16,
        )  # fmt: skip
        return found
    dataset = Flickr(str(place / "retrieval" / "images"), str(place / "captions.csv"), transform)
    loader = DataLoader(dataset, 64, num_workers=4, collate_fn=get_dataset_collate_fn("flickr8k"))
    found = zeroshot_retrieval.evaluate(
        model, loader, tokenizer, device="cpu", amp=work.bf16, recall_k_list=KS
    )
    return found


class _Known:
    """A model whose features are known: images and texts are their numbers."""

    def __init__(self, image_ND: torch.Tensor, text_MD: torch.Tensor) -> None:
        self._image, self._text = image_ND, text_MD

    def encode_image(self, numbers: torch.Tensor) -> torch.Tensor:
        return self._image[numbers]

    def encode_text(self, numbers: torch.Tensor) -> torch.Tensor:
        return self._text[numbers]


def rank_ours(image_ND: torch.Tensor, text_MD: torch.Tensor, owner_M: torch.Tensor) -> dict[str, float]:
    """R@k of both directions."""
    from train.heldout.ranking import recall_table

    return recall_table(image_ND, text_MD, owner_M)


def rank_theirs(image_ND: torch.Tensor, text_MD: torch.Tensor, owner_M: torch.Tensor) -> dict[str, float]:
    """The same by CLIP_benchmark's evaluate, fed with features."""
    from clip_benchmark.metrics.zeroshot_retrieval import evaluate

    texts = owner_M.argsort(stable=True).view(len(image_ND), -1).tolist()
    numbers = torch.arange(len(image_ND))
    loader = [(numbers[at : at + 64], texts[at : at + 64]) for at in range(0, len(texts), 64)]
    found: dict[str, float] = evaluate(
        _Known(image_ND, text_MD), loader, torch.tensor, device="cpu", amp=False, recall_k_list=KS
    )
    return found


def _ranking(work: Work) -> dict[str, float]:
    features = torch.load(Path(work.place) / "features.pt")
    return (rank_ours if work.side == "ours" else rank_theirs)(*features)


def _import(work: Work) -> None:
    """What importing takes is told apart: it is the same for any number of images."""
    for name in MODULES[work.side]:
        importlib.import_module(name)


def _busy() -> float:
    """Processor seconds of this process and of workers that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Measure one turn."""
    import open_clip

    work = Work(**json.loads(sys.argv[1]))
    began = time.perf_counter()
    _import(work)
    open_clip.add_model_config(Path(work.place) / "configs")
    ready, busy, held = time.perf_counter(), _busy(), _peak_mb()
    measure = _ranking if work.task == "ranking" else ours if work.side == "ours" else theirs
    with contextlib.redirect_stdout(sys.stderr):
        metrics = measure(work)
    seconds = time.perf_counter() - ready
    turn = {
        "seconds": seconds,
        "cpu_s": _busy() - busy,
        "import_s": ready - began,
        "peak_mb": _peak_mb() - held,
    }
    print(json.dumps({**turn, "metrics": metrics}))


if __name__ == "__main__":
    main()
