"""Data sets that the loader tests share; written once, read by many."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from streaming.base.util import clean_stale_shared_memory

from loaders import fetch
from tests.loaders.corpus import Sample, make_samples, write_dataset

COUNT = 48


@pytest.fixture(scope="session", autouse=True)
def _leave_no_shared_memory() -> Iterator[None]:
    yield
    clean_stale_shared_memory()


@pytest.fixture(autouse=True)
def _little_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """What fails here fails each time: no need to wait in between."""
    monkeypatch.setattr(fetch, "BACKOFF_S", 0.01)


@pytest.fixture
def forgotten_sockets() -> Iterator[None]:
    """Let servers and clients that were given up in mid-answer leave their sockets to the collector."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.fixture(scope="session")
def samples() -> list[Sample]:
    return make_samples(COUNT)


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory, samples: list[Sample]) -> Path:
    return write_dataset(tmp_path_factory.mktemp("data"), samples)
