"""The retrieval loader: evaluation transform, every caption, a fixed order."""

from __future__ import annotations

import io
from itertools import chain
from pathlib import Path

import pytest
import torch
from PIL import Image
from torchvision.transforms import CenterCrop, Compose, InterpolationMode, Normalize, Resize, ToTensor

from engine.errors import UserError
from loaders.images import CLIP_MEAN, CLIP_STD
from loaders.retrieval import RetrievalConfig, build_retrieval_loader
from tests.loaders.corpus import CONTEXT, Sample

SIDE = 16


def test_images_are_torchvisions_and_in_order(dataset: Path, samples: list[Sample]) -> None:
    transform = Compose(
        [
            Resize(SIDE, InterpolationMode.BICUBIC),
            CenterCrop(SIDE),
            ToTensor(),
            Normalize(CLIP_MEAN, CLIP_STD),
        ]
    )
    config = RetrievalConfig(str(dataset), 10, image_size=SIDE, dtype="float32", threads=2)
    loader = build_retrieval_loader(config)
    batches = list(loader)
    assert len(batches) == len(loader) == 5
    assert [key for batch in batches for key in batch["key"]] == [sample.key for sample in samples]
    images = torch.cat([batch["image"] for batch in batches])
    for sample, image in zip(samples, images, strict=True):
        with Image.open(io.BytesIO(sample.image)) as file:
            assert torch.equal(image, transform(file.convert("RGB")))


@pytest.mark.parametrize("sources", [(), ("alttext",), ("vecap",), ("vecap", "alttext")])
def test_every_caption_of_the_chosen_sources(
    dataset: Path, samples: list[Sample], sources: tuple[str, ...]
) -> None:
    expected = [
        (sample.key, ids + [0] * (CONTEXT - len(ids)))
        for sample in samples
        for source, captions in sample.captions.items()
        for ids in captions
        if not sources or source in sources
    ]
    found = []
    for batch in build_retrieval_loader(
        RetrievalConfig(str(dataset), 7, sources=sources, image_size=SIDE, threads=1)
    ):
        keys = [batch["key"][row] for row in batch["image_of_text"].tolist()]
        found += list(zip(keys, batch["text"].tolist(), strict=True))
        named = [list(samples[0].captions)[number] for number in batch["source_of_text"].tolist()]
        own = {sample.key: sample.captions for sample in samples}
        for key, text, name in zip(keys, batch["text"].tolist(), named, strict=True):
            assert any(ids + [0] * (CONTEXT - len(ids)) == text for ids in own[key][name])
    assert found == expected


def test_ranks_take_disjoint_parts(dataset: Path, samples: list[Sample]) -> None:
    parts = []
    for rank in range(3):
        loader = build_retrieval_loader(
            RetrievalConfig(str(dataset), 5, image_size=SIDE, threads=1, rank=rank, ranks=3)
        )
        parts.append([key for batch in loader for key in batch["key"]])
    assert sorted(chain(*parts)) == [sample.key for sample in samples]


def test_refusals(dataset: Path) -> None:
    with pytest.raises(UserError, match=r"unknown source vecpa.*did you mean vecap"):
        build_retrieval_loader(RetrievalConfig(str(dataset), sources=("vecpa",)))
    with pytest.raises(UserError, match="rank < ranks"):
        RetrievalConfig(str(dataset), rank=2, ranks=2)
    with pytest.raises(UserError, match="at least 1"):
        RetrievalConfig(str(dataset), batch_size=0)
    with pytest.raises(UserError, match="t5-base"):
        build_retrieval_loader(
            RetrievalConfig(str(dataset), tokenizer_fingerprint="b" * 64, tokenizer_name="t5-base")
        )
