"""Decoding with DALI, on CPU and GPU: the same samples as the native decoder, and nothing stops it."""

from __future__ import annotations

import itertools
import logging
import os
import re
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from engine.errors import UserError
from engine.native import ColumnView, Limits, plain_jpegs
from loaders import dali
from loaders.counters import ReadCounts
from loaders.decoder import Work
from loaders.images import DTYPES
from loaders.loader import Batch, DataConfig, build_loader
from tests.loaders.corpus import Sample, write_dataset
from tests.loaders.dali_kit import FORMS, LEAST_DB, ODD_FORMS, psnr, samples_of

SIDE = 32
COUNT = 42


@pytest.fixture(autouse=True, params=["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def device(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """DALI's CPU mode, also where there is a GPU; and that GPU."""
    if request.param == "cpu":
        monkeypatch.setattr(dali, "rank_device", lambda: None)
    return str(request.param)


def forms_of(count: int) -> list[str]:
    return [FORMS[i % len(FORMS)] for i in range(count)]


@pytest.fixture(scope="module")
def samples() -> list[Sample]:
    return samples_of(forms_of(COUNT))


@pytest.fixture(scope="module")
def mixed(samples: list[Sample], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every form, in turn."""
    return write_dataset(tmp_path_factory.mktemp("mixed") / "data", samples)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Plain JPEG alone."""
    return write_dataset(tmp_path_factory.mktemp("plain") / "data", samples_of(["jpeg"] * COUNT))


def config(folder: Path, **changes: Any) -> DataConfig:
    base = DataConfig(str(folder), batch_size=8, image_size=SIDE, seed=3, threads=2, decoder="dali")
    return replace(base, **{"scale": (0.3, 1.0), **changes})


def read(settings: DataConfig, epochs: int = 1) -> tuple[list[Batch], ReadCounts]:
    loader = build_loader(settings)
    batches = [batch for _ in range(epochs) for batch in loader]
    on_gpu = settings.decoder == "dali" and dali.rank_device() is not None
    for batch in batches:
        assert batch["image"].is_cuda == on_gpu
        batch["image"] = batch["image"].cpu()
    return batches, loader.dataset.counters.total()


def both(settings: DataConfig, epochs: int = 1) -> tuple[list[Batch], list[Batch], ReadCounts]:
    wanted, _ = read(replace(settings, decoder="native"), epochs)
    found, counts = read(settings, epochs)
    return found, wanted, counts


def assert_same_samples(found: list[Batch], wanted: list[Batch]) -> None:
    assert [batch["key"] for batch in found] == [batch["key"] for batch in wanted]
    for own, other in zip(found, wanted, strict=True):
        assert list(own) == list(other)
        for name in ("text", "caption_source", "stream"):
            assert torch.equal(own[name], other[name])  # type: ignore[literal-required]
        assert own["image"].shape == other["image"].shape
        assert own["image"].dtype == other["image"].dtype


def test_keys_captions_and_crops_are_the_native_decoders(plain: Path) -> None:
    found, wanted, counts = both(config(plain), epochs=2)
    assert_same_samples(found, wanted)
    assert counts.left_to_native == counts.bad_samples == 0
    for own, other in zip(found, wanted, strict=True):
        for image, exact in zip(own["image"].numpy(), other["image"].numpy(), strict=True):
            assert psnr(image, exact) >= LEAST_DB  # another crop of these waves would be far below


def test_what_dali_is_not_given_is_exact(mixed: Path, samples: list[Sample]) -> None:
    found, wanted, counts = both(config(mixed, drop_last=False))
    assert_same_samples(found, wanted)
    form = dict(zip([sample.key for sample in samples], forms_of(COUNT), strict=True))
    for own, other in zip(found, wanted, strict=True):
        for i, key in enumerate(own["key"]):
            if form[key] in ODD_FORMS:
                assert torch.equal(own["image"][i], other["image"][i])
            else:
                assert psnr(own["image"][i].numpy(), other["image"][i].numpy()) >= LEAST_DB
    odd = sum(form[key] in ODD_FORMS for batch in found for key in batch["key"])
    assert counts.left_to_native == odd > 0


@pytest.mark.parametrize("decoder", ["native", "dali"])
@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("dtype", list(DTYPES))
def test_types_and_layouts_hold_the_same_pixels(
    mixed: Path, dtype: str, channels_last: bool, decoder: str
) -> None:
    raw, _ = read(config(mixed, decoder=decoder))
    found, _ = read(config(mixed, decoder=decoder, dtype=dtype, channels_last=channels_last))
    options = config(mixed).image()
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (options.mean, options.std))
    for own, plainly in zip(found, raw, strict=True):
        image = own["image"]
        assert image.dtype == DTYPES[dtype]
        layout = torch.channels_last if channels_last else torch.contiguous_format
        assert image.is_contiguous(memory_format=layout)
        wanted = plainly["image"].float()
        if dtype != "uint8":
            wanted = (wanted / 255 - mean) / std
        close = {"uint8": 0.0, "float32": 1e-5, "float16": 2e-3, "bfloat16": 1.6e-2}[dtype]
        assert (image.float() - wanted).abs().max() <= close


def test_a_run_goes_on_with_the_other_decoder(mixed: Path) -> None:
    wanted, _ = read(config(mixed, decoder="native"), epochs=3)
    found: list[Batch] = []
    state = None
    for steps, decoder in ((3, "dali"), (4, "native"), (6, "dali"), (2, "native")):
        loader = build_loader(config(mixed, decoder=decoder))
        if state is not None:
            loader.load_state_dict(state)
        while steps:
            for batch in loader:
                found.append(batch)
                batch["image"] = batch["image"].cpu()
                steps -= 1
                if not steps:
                    break
        state = loader.state_dict()
    assert_same_samples(found, wanted)


def test_bad_images_are_replaced_as_the_native_decoder_replaces_them(
    samples: list[Sample], tmp_path: Path
) -> None:
    for i in (0, 4, 9, 21):
        samples = [*samples[:i], replace(samples[i], image=samples[i].image[:-200]), *samples[i + 1 :]]
    write_dataset(tmp_path / "data", samples)
    found, wanted, counts = both(config(tmp_path / "data"))
    assert_same_samples(found, wanted)
    assert counts.bad_samples >= 3


def broken_later(image: bytes) -> bytes:
    """A progressive JPEG whose second Huffman table is nonsense: its header is plain."""
    table = image.index(b"\xff\xc4", image.index(b"\xff\xda"))
    return image[: table + 5] + b"\xff" * 16 + image[table + 21 :]


def test_what_dali_fails_at_is_decoded_by_the_native_core(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, device: str
) -> None:
    if device == "cuda":
        pytest.skip("what nvJPEG fails at is its own")
    samples = samples_of(["progressive"] * COUNT)
    samples[5] = replace(samples[5], image=broken_later(samples[5].image))
    assert plain_jpegs([samples[5].image]).any()
    write_dataset(tmp_path / "data", samples)
    with caplog.at_level(logging.WARNING, "loaders.dali"):
        found, wanted, counts = both(config(tmp_path / "data"), epochs=2)
    assert_same_samples(found, wanted)
    assert counts.bad_samples == 2
    # The runs that were under way with it, not the whole epoch: DALI is built again.
    assert 2 <= counts.left_to_native <= 2 * 16 + 2
    assert "DALI failed" in caplog.text
    # DALI's own words, of version 1 or 2.
    assert re.search("Unsupported image type|Failed to decode sample", caplog.text)


@pytest.mark.parametrize("at", ["__init__", "schedule", "outputs"])
def test_a_dali_that_never_works_is_left_alone(
    plain: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, at: str
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("no device")

    monkeypatch.setattr(dali.SlicePipeline, at, fail)
    with caplog.at_level(logging.WARNING, "loaders.dali"):
        found, wanted, counts = both(config(plain), epochs=3)
    assert_same_samples(found, wanted)
    assert all(torch.equal(own["image"], other["image"]) for own, other in zip(found, wanted, strict=True))
    assert counts.left_to_native == 3 * 40
    assert len(caplog.records) == dali.MOST_ON_END
    assert "for the rest of this run" in caplog.records[-1].message


def test_a_dali_that_fails_too_often_is_left_alone(
    plain: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    schedule, calls = dali.SlicePipeline.schedule, itertools.count()

    def fail_at_times(*given: Any) -> None:
        if next(calls) % 3 == 0:
            raise RuntimeError("now and then")
        schedule(*given)

    monkeypatch.setattr(dali.SlicePipeline, "schedule", fail_at_times)
    monkeypatch.setattr(dali, "MOST_FAILURES", 2)
    with caplog.at_level(logging.WARNING, "loaders.dali"):
        found, wanted, counts = both(config(plain), epochs=3)
    assert_same_samples(found, wanted)
    assert len(caplog.records) == 2
    assert 2 * 8 <= counts.left_to_native < 3 * 40


def test_the_cut_into_runs_does_not_show(mixed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, _ = read(config(mixed))
    monkeypatch.setattr(dali, "IMAGES_AT_ONCE", 3)
    pieces, _ = read(config(mixed))
    assert all(torch.equal(own["image"], other["image"]) for own, other in zip(pieces, whole, strict=True))


def test_dali_is_given_what_has_a_known_size_within_the_limits() -> None:
    """Sizes that the data set does not know are zeros, as are those of files that are not plain."""
    jpeg, cut_off = (sample.image for sample in samples_of(["jpeg", "jpeg"]))
    images = ColumnView([jpeg, jpeg, jpeg, cut_off[:-2]])
    width, height = plain_jpegs([jpeg])[0].tolist()
    sizes = np.array([[width, height], [0, 0], [height, width + 1], [0, 0]], np.int32)
    work = Work(images, np.full((4, 4), dali.LEAST_SIDE, np.int32), sizes, Limits(), torch.empty(0))
    assert dali.given_to_dali(work).tolist() == [True, False, False, False]
    narrow = work._replace(limits=Limits(max_side=max(width, height) - 1))
    assert not dali.given_to_dali(narrow).any()


def test_a_run_is_bounded_in_images_and_pixels() -> None:
    rng = np.random.default_rng(1)
    for _ in range(50):
        sizes = rng.integers(1, 12_000, (400, 2)).astype(np.int32)
        rows = np.flatnonzero(rng.random(400) < 0.8)
        runs = list(dali.cut(rows, sizes))
        assert np.array_equal(np.concatenate(runs), rows)
        for run in runs:
            pixels = sizes[run].astype(np.int64).prod(axis=1).sum()
            assert len(run) == 1 or (len(run) <= dali.IMAGES_AT_ONCE and pixels <= dali.PIXELS_AT_ONCE)
    assert not list(dali.cut(np.array([], np.int64), np.empty((0, 2), np.int32)))


def test_an_epoch_given_up_leaves_no_thread_and_no_work(plain: Path) -> None:
    loader = build_loader(config(plain))
    decoder = loader.maker.decoder
    assert isinstance(decoder, dali.DaliDecoder)
    for _ in range(3):
        batches = loader._batches()
        next(batches)
        assert loader._prefetcher is not None
        while not loader._prefetcher._queue.full():
            time.sleep(0.01)
        assert not decoder.idle  # given up with a batch under way
        batches.close()  # type: ignore[attr-defined]
        assert decoder.idle
    assert {len(batch["key"]) for batch in loader} == {8}
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("veclip")]


SCRIPT = """
import sys
from loaders.loader import DataConfig, build_loader
loader = build_loader(DataConfig(sys.argv[1], batch_size=8, image_size=32, decoder="dali"))
batches = iter(loader)
next(batches)
print(loader.dataset.counters.total().left_to_native)
"""


def test_a_process_ends_with_work_under_way(plain: Path, device: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(plain)],
        env={**os.environ, **({"CUDA_VISIBLE_DEVICES": ""} if device == "cpu" else {})},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "0\n"), done.stderr


def test_settings_that_cannot_be(plain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"data\.num_workers: 2 given with decoder: dali"):
        config(plain, num_workers=2)
    with pytest.raises(UserError, match=r"data\.decoder: 'dalli' given; expected native, dali.*dali"):
        config(plain, decoder="dalli")
    monkeypatch.setitem(sys.modules, "nvidia.dali", None)
    with pytest.raises(UserError, match=r"nvidia-dali cannot be imported.*veclip-engine\[dali\]"):
        build_loader(config(plain))
