"""Retrieval on a held-out set: encode it, each rank its share, and rank everything against everything.

The same features give the contrastive loss of each caption source.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from composer.utils import dist

from engine.native import commit_file
from loaders import retrieval as data
from train.heldout.ranking import recall_table
from train.heldout.validation import loss_names, source_losses
from train.model.contrastive import ContrastiveModel, encode_text, evaluating
from train.stopping import Pace, at_once, rounds

# Texts encoded at a time: an image may have any number of captions.
TEXT_CHUNK = 512


@dataclasses.dataclass(frozen=True)
class Features:
    """What one rank encoded. float32 on the CPU; image_of_text counts in the order of `image`."""

    image: torch.Tensor
    text: torch.Tensor
    image_of_text: torch.Tensor
    source_of_text: torch.Tensor


def evaluate_retrieval(
    model: ContrastiveModel, config: data.RetrievalConfig, precision: str = "fp32", pace: Pace = at_once
) -> dict[str, float]:
    """R@1/5/10 in both directions, and the loss of each source; every rank returns the same numbers.

    Args:
        model: on its device; its training mode is restored.
        config: the held-out set; `rank` and `ranks` are filled in here. Its `sources` are the ones ranked.
        precision: Composer's name, as in training.
        pace: how batches are walked.

    Returns:
        Fractions by name (`train.heldout.ranking.recall_table`), the sizes `images` and `texts`, and
        `loss/SOURCE` of every source of the set (`train.heldout.validation`).
    """
    share = dataclasses.replace(config, rank=dist.get_global_rank(), ranks=dist.get_world_size(), sources=())
    loader = data.build_retrieval_loader(share)
    names = loader.dataset.info.sources
    batches = pace(loader, rounds(loader.dataset.num_samples, share.ranks, config.batch_size))
    ranked_source = torch.from_numpy(data.source_mask(config.sources, names))
    whole = interleave(dist.all_gather_object(encode(model, batches, precision)))
    scale = float(model.clip.logit_scale.detach().exp())
    losses = source_losses(whole.image, whole.text, whole.image_of_text, whole.source_of_text, scale)
    ranked = ranked_source[whole.source_of_text]
    table = recall_table(whole.image, whole.text[ranked], whole.image_of_text[ranked])
    sizes = {"images": len(whole.image), "texts": int(ranked.sum())}
    return {**table, **sizes, **loss_names(losses, names)}


def encode(
    model: ContrastiveModel, batches: Iterable[Mapping[str, Any]], precision: str = "fp32"
) -> Features:
    """Encodes batches of `loaders.retrieval` in order."""
    device = next(model.parameters()).device
    images, texts, owners, sources, seen = [], [], [], [], 0
    with evaluating(model, precision):
        for batch in batches:
            images.append(model.encode_image(batch["image"].to(device)).float().cpu())
            # An image may lack captions in the chosen sources, and so may all images of a batch.
            for chunk in batch["text"].split(TEXT_CHUNK) if len(batch["text"]) else ():
                texts.append(encode_text(model.clip, chunk.to(device)).float().cpu())
            owners.append(batch["image_of_text"] + seen)
            sources.append(batch["source_of_text"])
            seen += len(batch["image"])
    width = model.clip.visual.output_dim
    return Features(
        torch.cat(images) if images else torch.empty(0, width),
        torch.cat(texts) if texts else torch.empty(0, width),
        torch.cat(owners) if owners else torch.empty(0, dtype=torch.int64),
        torch.cat(sources) if sources else torch.empty(0, dtype=torch.int64),
    )


def interleave(shares: list[Features]) -> Features:
    """Puts the ranks' shares back into the set's own order (rank r holds images r, r + W, r + 2 W, ...).

    The order matters where scores tie, so one rank and many give the same numbers.
    """
    ranks = len(shares)
    number = [torch.arange(len(s.image)) * ranks + r for r, s in enumerate(shares)]
    order = torch.cat(number).argsort()
    owner = torch.cat([n[s.image_of_text] for n, s in zip(number, shares, strict=True)])
    by_image = owner.argsort(stable=True)
    return Features(
        torch.cat([s.image for s in shares])[order],
        torch.cat([s.text for s in shares])[by_image],
        owner[by_image],
        torch.cat([s.source_of_text for s in shares])[by_image],
    )


def write_results(path: Path, result: Mapping[str, object]) -> None:
    """Writes results.json whole or not at all, making its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    commit_file(path, (json.dumps(result, indent=2) + "\n").encode())


def format_table(table: Mapping[str, float]) -> str:
    """The table as text, in percent."""
    images, texts = int(table["images"]), int(table["texts"])
    lines = [
        f"retrieval on {images:,} images, {texts:,} texts (%)",
        f"{'':<15}{'R@1':>7}{'R@5':>7}{'R@10':>7}",
    ]
    for direction in ("image_to_text", "text_to_image"):
        cells = "".join(f"{100 * table[f'{direction}_r@{k}']:7.2f}" for k in (1, 5, 10))
        lines.append(f"{direction.replace('_', ' '):<15}{cells}")
    losses = [(name.removeprefix("loss/"), loss) for name, loss in table.items() if name.startswith("loss/")]
    lines += ["contrastive loss by source: " + ", ".join(f"{name} {loss:.3f}" for name, loss in losses)]
    return "\n".join(lines)
