"""One corpus and one undisturbed run for all tests of whole runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.train import corpus
from tests.train.run_kit import command, run


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    corpus.write_corpus(folder / "train", 160, seed=1)
    corpus.write_corpus(folder / "test", 60, seed=2)
    return folder


@pytest.fixture(scope="session")
def undisturbed(place: Path) -> Path:
    done = run(command(place, "undisturbed"))
    assert "retrieval on 60 images, 120 texts" in done.stdout
    assert "512 samples" in done.stdout
    return place / "runs" / "undisturbed"
