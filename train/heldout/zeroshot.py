"""Zero-shot classification: images against texts such as "A photo of a {}." about each class.

Protocol (CLIP's, as open_clip's `build_zero_shot_classifier`): each template filled with a class's name is
encoded and brought to length 1; the mean over the templates, brought to length 1, stands for the class.

Ties: a class stands before another one if its score is higher, or the same and its number lower. A model that
gives all classes the same score therefore scores chance.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from composer.utils import dist
from numpy.typing import NDArray
from torch import Tensor

from engine.errors import UserError
from engine.nearest import nearest
from engine.tokenizers import Tokenizer, load_tokenizer
from loaders.classes import ClassBatch, ClassLoader, ClassSet, open_classes
from loaders.columns import Ragged
from loaders.images import ImageOptions
from train.heldout.accuracy import accuracy, class_rows
from train.heldout.prompts import TEMPLATE_SETS, Filler, filler, template_set
from train.heldout.ranking import place
from train.model.architecture import TokenizerFacts
from train.model.contrastive import ContrastiveModel, encode_text, evaluating
from train.stopping import Pace, at_once, rounds

# Texts encoded at a time, or all of one class.
TEXT_CHUNK = 512
OWN = "own"


@dataclasses.dataclass(frozen=True)
class ZeroShotConfig:
    """A labelled set to classify.

    Attributes:
        local: a folder of class folders, or a table (.csv, .tsv) with columns image and label.
        classnames: a file with a name a line, for the classes in the order of their sorted labels, or with
            lines LABEL<tab>NAME; `imagenet`: open_clip's 1,000; null: the labels, with spaces for `_`.
        templates: `single` ("A photo of a {}."), `ens7` or `ens80` (ImageNet's, from open_clip), a list of
            these, or a list of templates with {} for the name.
        batch_size: images a batch.
    """

    local: str
    classnames: str | None = None
    templates: str | tuple[str, ...] = "single"
    batch_size: int = 128

    def __post_init__(self) -> None:
        """Refuse what names no way of asking.

        Raises:
            UserError: an unknown set of templates, a template without {}, or both kinds in one list.
        """
        if self.batch_size < 1:
            raise UserError(f"batch_size: {self.batch_size} given; expected at least 1")
        wanted = self.wanted()
        own = [text for text in wanted if "{}" in text]
        unknown = [text for text in wanted if text not in TEMPLATE_SETS and "{}" not in text]
        if not wanted or unknown or (own and len(own) < len(wanted)):
            given = ", ".join(map(repr, unknown or wanted)) or "nothing"
            hint = nearest(unknown[0], TEMPLATE_SETS) if unknown else ""
            raise UserError(
                f"templates: {given} given; expected names among {', '.join(TEMPLATE_SETS)}, "
                f"or templates with {{}} for the class{hint}"
            )

    def wanted(self) -> tuple[str, ...]:
        """Return `templates` as a list."""
        return (self.templates,) if isinstance(self.templates, str) else self.templates

    def variants(self) -> dict[str, tuple[Filler, ...]]:
        """Return the ways of asking by name: each a list of functions from a class's name to a text."""
        wanted = self.wanted()
        if any("{}" in text for text in wanted):
            return {OWN: tuple(filler(text) for text in wanted)}
        return {name: template_set(name) for name in wanted}


@dataclasses.dataclass(frozen=True)
class ZeroShotTask:
    """A set ready to be classified.

    Attributes:
        images: files and labels.
        classes: name of each class as the texts have it.
        texts: by way of asking, padded ids: uint16 [classes, templates, context].
        batch_size: images a batch.
    """

    images: ClassSet
    classes: tuple[str, ...]
    texts: Mapping[str, NDArray[np.uint16]]
    batch_size: int = 128


def open_task(config: ZeroShotConfig, tokenizer: Tokenizer) -> ZeroShotTask:
    """Find the images, name the classes and tokenise the texts; nothing is decoded yet.

    Raises:
        UserError: as `open_classes`, or names that do not fit the classes.
    """
    labels, names = _named_classes(config.classnames)
    images = open_classes(config.local, labels)
    names = names or tuple(label.replace("_", " ") for label in images.labels)
    if len(names) != len(images.labels):
        raise UserError(
            f"{config.classnames}: {len(names)} names, but {config.local} has {len(images.labels)} classes; "
            "expected one for each, or lines LABEL<tab>NAME"
        )
    texts = {
        variant: tokenise([template(name) for name in names for template in templates], tokenizer).reshape(
            len(names), len(templates), tokenizer.context_length
        )
        for variant, templates in config.variants().items()
    }
    return ZeroShotTask(images, names, texts, config.batch_size)


def _named_classes(classnames: str | None) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return labels in order, empty where they are not given, and names."""
    if classnames is None:
        return (), ()
    if classnames == "imagenet":
        import open_clip

        return (), tuple(open_clip.IMAGENET_CLASSNAMES)
    try:
        lines = [line for line in Path(classnames).read_text("utf-8-sig").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{classnames}: cannot read class names ({error})") from error
    pairs = [tuple(part.strip() for part in line.split("\t")) for line in lines]
    if not pairs or len({len(pair) for pair in pairs}) > 1 or len(pairs[0]) > 2:
        raise UserError(f"{classnames}: expected a name a line, or lines LABEL<tab>NAME throughout")
    labels = tuple(pair[0] for pair in pairs) if len(pairs[0]) == 2 else ()
    if len(set(labels)) < len(labels):
        raise UserError(f"{classnames}: a label is given twice; expected each once")
    return labels, tuple(pair[-1] for pair in pairs)


def tokenise(texts: Sequence[str], tokenizer: Tokenizer) -> NDArray[np.uint16]:
    """Return padded ids, uint16 [N, context]."""
    ids, lengths = tokenizer.encode_batch(texts)
    offsets = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
    padded: NDArray[np.uint16] = Ragged(ids, offsets).padded(tokenizer.context_length, tokenizer.pad_id)
    return padded


def data_tokenizer(facts: TokenizerFacts, where: str | None = None) -> Tokenizer:
    """Load the tokenizer that the training data was made with.

    Args:
        facts: which it is.
        where: a folder or name other than the one it had then.

    Raises:
        UserError: it cannot be had, or what has its name today gives other ids.
    """
    name = where or facts.name
    tokenizer = load_tokenizer(name, facts.context_length)
    if tokenizer.fingerprint != facts.fingerprint:
        raise UserError(
            f"tokenizer {name}: it is {tokenizer.fingerprint[:12]} here, but the training data has "
            f"{facts.fingerprint[:12]}; give back the one that the data was sharded with"
        )
    return tokenizer


def evaluate_zeroshot(
    model: ContrastiveModel,
    task: ZeroShotTask,
    image: ImageOptions,
    precision: str = "fp32",
    pace: Pace = at_once,
) -> dict[str, float]:
    """Accuracy of the class with the best score; ranks share the texts and the images.

    Args:
        model: on its device; its training mode is restored.
        task: the same on all ranks.
        image: size and dtype that the model takes.
        precision: Composer's name, as in training.
        pace: how batches of texts and images are walked.

    Returns:
        By name, the same on every rank: `VARIANT/top_1`, `top_5`, `top_10` (where there are more classes) and
        `mean_per_class_recall`, fractions; the sizes `images` and `classes`.
    """
    rank, ranks = dist.get_global_rank(), dist.get_world_size()
    loader = ClassLoader(task.images, image, task.batch_size, rank, ranks)
    batches = pace(loader, rounds(len(task.images.files), ranks, task.batch_size))
    with evaluating(model, precision):
        classifiers = {name: _classifier(model, texts, pace) for name, texts in task.texts.items()}
        own = _places(model, batches, classifiers)
    shares: list[tuple[dict[str, Tensor], Tensor]] = dist.all_gather_object(own)
    labels = torch.cat([label for _, label in shares])
    table: dict[str, float] = {"images": len(labels), "classes": len(task.classes)}
    for name in task.texts:
        places = torch.cat([found[name] for found, _ in shares])
        table |= {f"{name}/{k}": v for k, v in accuracy(places, labels, len(task.classes)).items()}
    return table


def _classifier(model: ContrastiveModel, texts: NDArray[np.uint16], pace: Pace) -> Tensor:
    """One unit row a class [C, D] on the CPU, each rank encoding every `ranks`-th class."""
    rank, ranks = dist.get_global_rank(), dist.get_world_size()
    at_a_time = max(1, TEXT_CHUNK // texts.shape[1])
    own = texts[rank::ranks]
    chunks = (own[at : at + at_a_time] for at in range(0, len(own), at_a_time))
    done = [encode_classes(model, chunk) for chunk in pace(chunks, rounds(len(texts), ranks, at_a_time))]
    shares = dist.all_gather_object(torch.cat([torch.empty(0, model.clip.visual.output_dim), *done]))
    whole = torch.empty(len(texts), shares[0].shape[1])
    for at, share in enumerate(shares):
        whole[at::ranks] = share
    return whole


def encode_classes(model: ContrastiveModel, texts: NDArray[np.uint16]) -> Tensor:
    """Return unit rows [C, D] on the CPU for padded ids [C, templates, context] of a few classes."""
    ids = torch.from_numpy(texts.reshape(-1, texts.shape[-1]).astype(np.int64))
    features = encode_text(model.clip, ids.to(next(model.parameters()).device)).float().cpu()
    return class_rows(features.view(*texts.shape[:2], -1))


def _places(
    model: ContrastiveModel, batches: Iterable[ClassBatch], classifiers: Mapping[str, Tensor]
) -> tuple[dict[str, Tensor], Tensor]:
    """Return the places of this rank's images by variant, and their labels."""
    device = next(model.parameters()).device
    places: dict[str, list[Tensor]] = {name: [] for name in classifiers}
    labels = [torch.empty(0, dtype=torch.int64)]
    for batch in batches:
        features = model.encode_image(batch["image"].to(device)).float().cpu()
        labels.append(batch["label"])
        for name, classifier in classifiers.items():
            places[name].append(place(features @ classifier.T, batch["label"].unsqueeze(1)))
    empty = torch.empty(0, dtype=torch.int64)
    return {name: torch.cat([empty, *found]) for name, found in places.items()}, torch.cat(labels)


def format_table(name: str, table: Mapping[str, Any]) -> str:
    """The table of one set as text, in percent."""
    lines = [f"zero-shot {name}: {int(table['images']):,} images, {int(table['classes']):,} classes (%)"]
    for variant in dict.fromkeys(key.split("/")[0] for key in table if "/" in key):
        own = {key.split("/")[1]: value for key, value in table.items() if key.startswith(f"{variant}/")}
        cells = "  ".join(f"{key.replace('_', ' ')} {100 * value:.2f}" for key, value in own.items())
        lines.append(f"{variant:<15}{cells}")
    return "\n".join(lines)
