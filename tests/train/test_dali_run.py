"""A run whose images DALI decodes (its CPU mode), on two ranks: killed, resumed, and its accounts."""

from __future__ import annotations

import io
import itertools
import json
import signal
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.train import corpus
from tests.train.run_kit import COMPOSER, assert_goes_on_after, command, run

COUNT, GLOBAL, STEPS = 160, 32, 16
jpeg = corpus._jpeg


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Each fourth image is a PNG, and one JPEG is cut short."""
    folder = tmp_path_factory.mktemp("dali")
    numbers = itertools.count()

    def varied(*drawn: Any) -> bytes:
        number, data = next(numbers), jpeg(*drawn)
        if number == 9:
            return data[:-300]
        if number % 4:
            return data
        file = io.BytesIO()
        Image.open(io.BytesIO(data)).save(file, "PNG")
        return file.getvalue()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(corpus, "_jpeg", varied)
        corpus.write_corpus(folder / "train", COUNT, seed=1)
    corpus.write_corpus(folder / "test", 60, seed=2)
    return folder


def words(place: Path, name: str, *more: str) -> list[str]:
    return command(place, name, "data.decoder=dali", *more, launcher=COMPOSER)


@pytest.fixture(scope="module")
def undisturbed(place: Path) -> Path:
    run(words(place, "undisturbed"))
    return place / "runs" / "undisturbed"


@pytest.mark.slow
def test_what_dali_was_not_given_is_counted_over_the_ranks(undisturbed: Path) -> None:
    lines = [json.loads(line) for line in (undisturbed / "log.jsonl").read_text().splitlines()]
    counted = [line["data/left_to_native"] for line in lines if "data/left_to_native" in line]
    assert counted == sorted(counted)
    # A PNG each fourth sample and one bad file, three epochs and a fifth; batches made ahead count too.
    epochs = STEPS * GLOBAL / COUNT
    assert epochs * (COUNT / 4 + 1) * 0.9 <= counted[-1] <= (epochs + 1) * (COUNT / 4 + 1)


@pytest.mark.slow
def test_killed_and_resumed_it_ends_in_the_same_weights(place: Path, undisturbed: Path) -> None:
    going_on = words(place, "killed", "autoresume=true")
    assert_goes_on_after(signal.SIGTERM, going_on, place / "runs" / "killed", undisturbed)
