"""Replay shows what the loader gave: pixels, caption, source, key, slot; as text and as a page."""

from __future__ import annotations

import base64
import io
import os
import subprocess
import sys
import time
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from engine.errors import UserError
from loaders import replay
from loaders.loader import Batch, DataConfig, build_loader
from loaders.recipe.data import read_data_recipe
from loaders.recipe.times import RunLength
from loaders.replay_page import page
from loaders.replayer import LeftOut, Replayer, Seen
from loaders.share import rank_of_slot
from tests.loaders.corpus import SOURCES, Sample, make_samples, write_dataset

ROOT = Path(__file__).parents[2]
SAMPLES, GLOBAL, SIDE, EPOCHS = 45, 8, 16, 3
STEPS = SAMPLES // GLOBAL


@pytest.fixture(scope="module")
def samples() -> dict[str, Sample]:
    return {sample.key: sample for sample in make_samples(SAMPLES)}


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory, samples: dict[str, Sample]) -> Path:
    folder = tmp_path_factory.mktemp("replay")
    write_dataset(folder / "data", list(samples.values()))
    written = {
        "model": {"vision": {"image_size": SIDE}},
        "data": {"local": str(folder / "data")},
        "global_train_batch_size": GLOBAL,
        "max_duration": f"{EPOCHS}ep",
    }
    (folder / "recipe.yaml").write_text(yaml.safe_dump(written))
    return folder / "recipe.yaml"


@pytest.fixture(scope="module")
def replayer(recipe: Path) -> Replayer:
    return Replayer(read_data_recipe(recipe, ["data.seed=5"]))


@pytest.fixture(scope="module")
def run(replayer: Replayer) -> list[Batch]:
    """The batches of the run, one rank."""
    config = DataConfig(replayer.config.local, GLOBAL, image_size=SIDE, seed=5, dtype="uint8")
    loader = build_loader(config)
    return [batch for _ in range(EPOCHS) for batch in loader]


def check(sight: Seen, batch: Batch, row: int, sample: Sample) -> None:
    assert sight.key == batch["key"][row] == sample.key
    assert (sight.image == batch["image"][row].numpy()).all()
    assert (sight.tokens == batch["text"][row].numpy()).all()
    assert sight.source == SOURCES[batch["caption_source"][row]]
    ids = sample.captions[sight.source][sight.number]
    assert sight.tokens[: len(ids)].tolist() == ids
    assert sight.caption == str(ids)  # what the corpus stores as the text of ids
    with Image.open(io.BytesIO(sample.image)) as image:
        assert sight.size == image.size
    left, top, width, height = sight.box
    assert 0 <= left < left + width <= sight.size[0]
    assert 0 <= top < top + height <= sight.size[1]


def test_each_step_of_a_run_is_shown_as_the_loader_gave_it(
    replayer: Replayer, run: list[Batch], samples: dict[str, Sample]
) -> None:
    assert len(run) == replayer.total == EPOCHS * STEPS
    for step in reversed(range(len(run))):
        seen = replayer.step(step)
        assert [sight.slot for sight in seen] == list(range(GLOBAL))
        assert {(sight.step, sight.epoch) for sight in seen} == {(step, step // STEPS)}
        for row, sight in enumerate(seen):
            check(sight, run[step], row, samples[sight.key])


def test_a_key_is_found_in_every_epoch_that_saw_it(
    replayer: Replayer, run: list[Batch], samples: dict[str, Sample]
) -> None:
    found = 0
    for key, sample in list(samples.items())[::7]:
        for epoch, sight in enumerate(replayer.key(key)):
            assert sight.epoch == epoch
            steps = [s for s in range(epoch * STEPS, (epoch + 1) * STEPS) if key in run[s]["key"]]
            if isinstance(sight, LeftOut):
                assert steps == []
                continue
            assert steps == [sight.step]
            assert run[sight.step]["key"][sight.slot] == key
            check(sight, run[sight.step], sight.slot, sample)
            found += 1
    assert found > 7


def test_what_the_run_does_not_have_is_refused(replayer: Replayer) -> None:
    with pytest.raises(UserError, match=f"steps 0 to {EPOCHS * STEPS - 1}"):
        replayer.step(EPOCHS * STEPS)
    with pytest.raises(UserError, match=r"no sample of .* has the key 'nobody'"):
        list(replayer.key("nobody"))


def test_a_bad_sample_is_shown_with_what_stood_in_for_it(tmp_path: Path, recipe: Path) -> None:
    broken = make_samples(8)
    broken[3] = Sample(broken[3].key, broken[3].image[:-400], broken[3].captions, broken[3].scores)
    write_dataset(tmp_path / "broken", broken, shards=1)
    seen = Replayer(read_data_recipe(recipe, [f"data.local={tmp_path}/broken"])).step(0)
    assert [(sight.key, sight.instead_of) for sight in seen if sight.instead_of is not None] == [
        (broken[4].key, broken[3].key)
    ]


class Page(HTMLParser):
    """What a reader of the page gets."""

    def __init__(self) -> None:
        super().__init__()
        self.images: list[np.ndarray] = []
        self.outside: list[str] = []
        self.open: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = dict(attributes)
        if tag not in ("meta", "img", "br", "link"):
            self.open.append(tag)
        for name in ("src", "href"):
            value = given.get(name) or ""
            if value.startswith("data:image/png;base64,"):
                with Image.open(io.BytesIO(base64.b64decode(value.partition(",")[2]))) as image:
                    self.images.append(np.asarray(image.convert("RGB")))
            elif value:
                self.outside.append(value)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_command_prints_and_draws_the_step(
    recipe: Path, run: list[Batch], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [str(recipe), "--step", "7", "data.seed=5", "--ranks", "4", "--html", str(tmp_path / "page.html")]
    assert replay.main(words) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"Step 7: epoch 1, batch 2 of {STEPS}, 8 of 8 samples"
    assert len(lines) == 1 + GLOBAL
    parsed = Page()
    parsed.feed((tmp_path / "page.html").read_text("utf-8"))
    assert (parsed.open, parsed.outside) == ([], [])
    for slot, key in enumerate(run[7]["key"]):
        assert lines[1 + slot].startswith(f"step 7 epoch 1 slot {slot} rank {slot % 4}  {key}  box ")
        assert (parsed.images[slot] == run[7]["image"][slot].numpy().transpose(1, 2, 0)).all()
        assert key in parsed.text


def test_hostile_captions_do_not_become_markup(replayer: Replayer) -> None:
    sight = replace(replayer.step(0)[0], caption='<script>alert("1")</script>', key='"><b>')
    parsed = Page()
    text = page("<i>", [], [sight], SOURCES)
    parsed.feed(text)
    assert "<script" not in text
    assert sight.caption in parsed.text
    assert sight.key in parsed.text


def test_errors_are_one_line(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert replay.main([str(recipe), "--step", "99"]) == 1
    assert capsys.readouterr().err.startswith("error: --step: 99 given; this run has steps 0 to 14")
    with pytest.raises(SystemExit, match="2"):
        replay.main([str(recipe)])


def test_durations() -> None:
    assert [RunLength(8, 5, text).total for text in ("3ep", "7ba", "17sp")] == [15, 7, 3]
    with pytest.raises(UserError, match="max_duration: '1dur' given"):
        _ = RunLength(8, 5, "1dur").total


def test_slots_of_ranks() -> None:
    assert [rank_of_slot(slot, 4, 1) for slot in range(6)] == [0, 1, 2, 3, 0, 1]
    assert [rank_of_slot(slot, 4, 2) for slot in range(6)] == [0, 2, 1, 3, 0, 2]


def test_the_recipes_side_is_the_models(recipe: Path) -> None:
    assert read_data_recipe(recipe).image_size == SIDE
    named = ["model={name: ViT-B-16}"]
    assert read_data_recipe(recipe, named).image_size == 224
    assert read_data_recipe(recipe, ["model={name: ViT-B-16, image_size: 240}"]).image_size == 240
    with pytest.raises(UserError, match="model: no image size"):
        read_data_recipe(recipe, ["model={}"])


def test_help_is_quick() -> None:
    began = time.monotonic()
    words = [sys.executable, "-m", "loaders.replay", "--help"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "examples:" in done.stdout
    assert time.monotonic() - began < 1 + 2 * os.getloadavg()[0] / (os.cpu_count() or 1)
