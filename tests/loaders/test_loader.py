"""The training loader: what a batch holds, and that it depends on seed, epoch and key alone."""

from __future__ import annotations

import io
import json
import os
import sys
import threading
from dataclasses import replace
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import InterpolationMode
from torchvision.transforms.functional import normalize, resized_crop, to_tensor

from engine.errors import UserError
from engine.native import crop_boxes, key_hashes
from loaders.images import CLIP_MEAN, CLIP_STD
from loaders.loader import Batch, DataConfig, build_loader
from loaders.policy import CaptionPolicy
from tests.loaders.corpus import CONTEXT, FINGERPRINT, SOURCES, Sample, make_samples, write_dataset

SIDE = 16


def config(folder: Path, **changes: object) -> DataConfig:
    base = DataConfig(str(folder), batch_size=8, image_size=SIDE, seed=3, threads=2, dtype="uint8")
    return replace(base, **changes)


def epochs(settings: DataConfig, count: int = 1) -> list[list[Batch]]:
    loader = build_loader(settings)
    return [list(loader) for _ in range(count)]


def by_key(batches: list[Batch]) -> dict[str, tuple[bytes, bytes, int]]:
    """Everything a sample became, by its key; a sample seen twice is an error."""
    seen: dict[str, tuple[bytes, bytes, int]] = {}
    for batch in batches:
        for i, key in enumerate(batch["key"]):
            assert key not in seen
            image, text = batch["image"][i].contiguous(), batch["text"][i]
            seen[key] = (image.numpy().tobytes(), text.numpy().tobytes(), int(batch["caption_source"][i]))
    return seen


def test_every_sample_once_an_epoch_in_another_order_each_time(dataset: Path, samples: list[Sample]) -> None:
    first, second = epochs(config(dataset), 2)
    keys = {sample.key for sample in samples}
    assert set(by_key(first)) == set(by_key(second)) == keys
    assert [b["key"] for b in first] != [b["key"] for b in second]


def test_shapes_and_types(dataset: Path) -> None:
    for dtype in ("uint8", "float32", "bfloat16"):
        (batches,) = epochs(config(dataset, dtype=dtype))
        for batch in batches:
            assert list(batch) == ["image", "text", "caption_source", "stream", "key"]
            assert batch["image"].shape == (8, 3, SIDE, SIDE)
            assert batch["image"].dtype == getattr(torch, dtype)
            assert batch["text"].shape == (8, CONTEXT)
            assert batch["text"].dtype == batch["caption_source"].dtype == torch.int64


def test_pixels_are_torchvisions_for_the_same_boxes(dataset: Path, samples: list[Sample]) -> None:
    (batches,) = epochs(config(dataset, dtype="float32"))
    found = {key: batch["image"][i] for batch in batches for i, key in enumerate(batch["key"])}
    for sample in samples:
        with Image.open(io.BytesIO(sample.image)) as file:
            image = file.convert("RGB")
        sides = [np.array([side], np.int32) for side in image.size]
        left, top, width, height = crop_boxes(
            *sides, key_hashes([sample.key.encode()]), seed=3, epoch=0, scale=(0.9, 1.0), ratio=(3 / 4, 4 / 3)
        )[0].tolist()
        crop = resized_crop(image, top, left, height, width, [SIDE, SIDE], InterpolationMode.BICUBIC)
        assert torch.equal(found[sample.key], normalize(to_tensor(crop), CLIP_MEAN, CLIP_STD))


def test_text_is_one_of_the_samples_captions_from_the_source_it_names(
    dataset: Path, samples: list[Sample]
) -> None:
    captions = {sample.key: sample.captions for sample in samples}
    drawn = set()
    for batch in chain(*epochs(config(dataset), 4)):
        for key, text, source in zip(batch["key"], batch["text"], batch["caption_source"], strict=True):
            padded = [ids + [0] * (CONTEXT - len(ids)) for ids in captions[key][SOURCES[source]]]
            assert text.tolist() in padded
            drawn.add((int(source), padded.index(text.tolist())))
    assert drawn == {(0, 0), (0, 1), (0, 2), (1, 0)}


def test_policies_reach_the_batch(dataset: Path, samples: list[Sample]) -> None:
    scores = {sample.key: sample.scores[: len(sample.captions["alttext"])] for sample in samples}
    captions = {sample.key: sample.captions["alttext"] for sample in samples}
    (batches,) = epochs(config(dataset, policy=CaptionPolicy({"alttext": 1}, within="hcs")))
    for batch in batches:
        assert not batch["caption_source"].any()
        for key, text in zip(batch["key"], batch["text"], strict=True):
            best = captions[key][int(np.argmax(np.float32(scores[key])))]
            assert text.tolist()[: len(best)] == best


def test_threads_and_workers_make_no_difference(dataset: Path) -> None:
    alone = epochs(config(dataset, threads=1), 2)
    for changes in ({"threads": 3, "prefetch": 5}, {"num_workers": 1}, {"num_workers": 2}):
        for expected, found in zip(alone, epochs(config(dataset, **changes), 2), strict=True):
            assert by_key(found) == by_key(expected)


def test_the_batch_a_sample_falls_into_makes_no_difference(dataset: Path) -> None:
    small = epochs(config(dataset, batch_size=3, shuffle=False), 2)
    large = epochs(config(dataset, batch_size=16), 2)
    assert [by_key(b) for b in small] == [by_key(b) for b in large]


def test_seed_and_epoch_make_a_difference(dataset: Path) -> None:
    first, second = epochs(config(dataset), 2)
    (other,) = epochs(config(dataset, seed=4))
    assert by_key(first) != by_key(second)
    assert by_key(first) != by_key(other)


def test_an_iteration_given_up_leaves_the_next_epoch_whole(dataset: Path) -> None:
    loader = build_loader(config(dataset))
    expected = epochs(config(dataset), 2)[1]
    given_up = iter(loader)
    next(given_up)
    assert by_key(list(loader)) == by_key(expected)
    assert list(given_up) == []


def test_a_last_batch_that_is_not_full_is_kept_on_request(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "odd", make_samples(21), shards=2)
    assert [len(b["key"]) for b in epochs(config(folder))[0]] == [8, 8]
    assert [len(b["key"]) for b in epochs(config(folder, drop_last=False))[0]] == [8, 8, 5]


def test_a_tokenizer_of_another_model_is_refused_with_both_names(dataset: Path) -> None:
    build_loader(config(dataset, tokenizer_fingerprint=FINGERPRINT))
    with pytest.raises(UserError, match=r"clip \(aaaa.*t5-base \(bbbb"):
        build_loader(config(dataset, tokenizer_fingerprint="b" * 64, tokenizer_name="t5-base"))


def test_an_image_that_does_not_decode_is_named(tmp_path: Path) -> None:
    broken = make_samples(16)
    broken[5] = replace(broken[5], image=broken[5].image[:-400])
    folder = write_dataset(tmp_path / "broken", broken, shards=1)
    with pytest.raises(UserError, match=r"site/0005.jpg"):
        epochs(config(folder, bad_samples=0))


def test_images_may_be_as_large_as_the_data_set_allows(tmp_path: Path) -> None:
    long = io.BytesIO()
    Image.new("RGB", (16_500, 2)).save(long, "PNG")
    large = [replace(sample, image=long.getvalue()) for sample in make_samples(8)]
    folder = write_dataset(tmp_path / "large", large, shards=1)
    with pytest.raises(UserError, match="longer side than the limit"):
        epochs(config(folder, batch_size=8, bad_samples=0))
    described = json.loads((folder / "dataset.json").read_text())
    described["options"]["image"]["max_side"] = 20_000
    (folder / "dataset.json").write_text(json.dumps(described))
    assert len(epochs(config(folder, batch_size=8))[0]) == 1


def test_a_sample_without_a_wanted_caption_is_named(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "gaps", make_samples(16, vecap_missing=True), shards=1)
    with pytest.raises(UserError, match=r"site/00.*vecap"):
        epochs(config(folder, policy=CaptionPolicy({"vecap": 1})))
    (batches,) = epochs(config(folder, policy=CaptionPolicy({"vecap": 1}, missing="alttext")))
    assert {int(s) for b in batches for s in b["caption_source"]} == {0, 1}


@pytest.mark.parametrize("field", ["batch_size", "image_size", "threads", "num_workers", "prefetch", "seed"])
def test_impossible_numbers_are_refused(dataset: Path, field: str) -> None:
    with pytest.raises(UserError, match=f"data.{field}: -1"):
        config(dataset, **{field: -1})


def test_unknown_names_are_refused(dataset: Path) -> None:
    with pytest.raises(UserError, match=r"^data\.dtype: 'float23'.*did you mean float32"):
        config(dataset, dtype="float23")
    with pytest.raises(UserError, match=r"^data\.pass_order: .*pillow11"):
        config(dataset, pass_order="pillow12")
    with pytest.raises(UserError, match=r"^data\.transform: 'fastt'.*did you mean fast"):
        config(dataset, transform="fastt")


@pytest.mark.parametrize("field", ["scale", "ratio"])
@pytest.mark.parametrize("pair", [(0.0, 1.0), (1.0, 0.5), (0.5, float("inf")), (float("nan"), 1.0)])
def test_impossible_ranges_are_refused(dataset: Path, field: str, pair: tuple[float, float]) -> None:
    with pytest.raises(UserError, match=rf"^data\.{field}: .*0 < low <= high"):
        config(dataset, **{field: pair})


def test_the_default_is_uint8_and_normalises_to_the_native_float32(dataset: Path) -> None:
    (given,) = epochs(replace(config(dataset), dtype=DataConfig.dtype))
    (native,) = epochs(config(dataset, dtype="float32"))
    for batch, expected in zip(given, native, strict=True):
        assert batch["image"].dtype == torch.uint8
        found = normalize(batch["image"].to(torch.float32) / 255, CLIP_MEAN, CLIP_STD)
        torch.testing.assert_close(found, expected["image"], rtol=1e-6, atol=1e-6)


@pytest.mark.skipif(sys.platform != "linux", reason="priorities of threads are Linux's")
def test_threads_that_make_batches_stand_back_and_the_trainer_does_not(dataset: Path) -> None:
    def priorities() -> list[int]:
        return [os.getpriority(os.PRIO_PROCESS, int(task)) for task in os.listdir("/proc/self/task")]

    before = priorities()
    loader = build_loader(config(dataset, threads=3, nice=7))
    batches = iter(loader)
    next(batches)
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == 0
    # The thread that works ahead, two that help it, and Streaming's own.
    assert priorities().count(7) - before.count(7) >= 3
    list(batches)


@pytest.mark.parametrize("workers", [0, 2])
def test_stages_are_timed_over_workers(dataset: Path, workers: int) -> None:
    loader = build_loader(config(dataset, num_workers=workers))
    list(loader)
    counts = loader.dataset.counters.total()
    assert counts.samples == 48
    assert min(counts.fetch_us, counts.gather_us, counts.captions_us, counts.decode_us) > 0
    assert counts.decode_us < 60_000_000
