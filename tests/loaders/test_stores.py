"""Remotes that fail: the loader ends in the right samples or in an error, within its deadline."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.errors import UserError
from loaders.dataset import CaptionDataset, OrderOptions
from loaders.loader import CaptionLoader, DataConfig, build_loader
from loaders.streams import Place
from tests.loaders import http_kit
from tests.loaders.corpus import Sample, write_dataset
from tests.loaders.http_kit import FaultyServer, serving

DEADLINE_S = 4.0
# A busy machine, and the time that the loader itself takes.
GRACE_S = 6.0
Fault = Callable[..., None]
PASSING = [
    http_kit.is_silent, http_kit.stalls, http_kit.trickles, http_kit.is_busy, http_kit.corrupts,
    http_kit.breaks_off, http_kit.is_short, http_kit.resets, http_kit.never_ends,
]  # fmt: skip
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    # A download may be told to end while Python runs a finaliser, which may only print that.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.usefixtures("forgotten_sockets"),
]


@pytest.fixture(scope="module")
def remote(tmp_path_factory: pytest.TempPathFactory, samples: list[Sample]) -> Path:
    return write_dataset(tmp_path_factory.mktemp("remote"), samples[:16], shards=2)


@pytest.fixture
def server(remote: Path) -> Iterator[FaultyServer]:
    with serving(remote) as found:
        yield found


def loader_of(cache: Path, remote: str, **changes: Any) -> CaptionLoader:
    settings: dict[str, Any] = {"deadline": DEADLINE_S, "threads": 1, "dtype": "uint8", "image_size": 8}
    return build_loader(DataConfig(str(cache), 8, remote=remote, **(settings | changes)))


def keys_of(loader: CaptionLoader) -> list[str]:
    return sorted(key for batch in loader for key in batch["key"])


def left_behind(cache: Path) -> list[Path]:
    return [path for path in (cache / ".fetch").iterdir() if path.name != "claims"]


def test_a_web_server_is_a_remote(
    server: FaultyServer, remote: Path, samples: list[Sample], tmp_path: Path
) -> None:
    loader = loader_of(tmp_path, server.url)
    assert keys_of(loader) == [sample.key for sample in samples[:16]]
    counts = loader.dataset.counters.total()
    fetched = sum((remote / name).stat().st_size for name in ("index.json", "dataset.json"))
    fetched += sum(path.stat().st_size for path in remote.rglob("*.mds"))
    assert (counts.shards_fetched, counts.fetch_retries, counts.cache_hits) == (2, 0, 0)
    assert counts.bytes_fetched == fetched
    again = loader_of(tmp_path, server.url)
    assert keys_of(again) == [sample.key for sample in samples[:16]]
    assert again.dataset.counters.total().cache_hits == 2
    assert set(server.asked.values()) == {1}


@pytest.mark.parametrize("fault", PASSING)
def test_a_fault_that_passes_is_lived_through(
    server: FaultyServer, samples: list[Sample], tmp_path: Path, fault: Fault
) -> None:
    server.misbehave(fault, times=2)
    began = time.monotonic()
    loader = loader_of(tmp_path, server.url)
    assert keys_of(loader) == [sample.key for sample in samples[:16]]
    assert time.monotonic() - began < DEADLINE_S + GRACE_S
    assert loader.dataset.counters.total().fetch_retries == 4
    assert left_behind(tmp_path) == []


@pytest.mark.parametrize("fault", [*PASSING, http_kit.is_gone])
def test_a_fault_that_stays_is_an_error_before_the_deadline(
    server: FaultyServer, tmp_path: Path, fault: Fault
) -> None:
    server.misbehave(fault, times=1000)
    began = time.monotonic()
    with pytest.raises(UserError, match=r"shard\.00000\.mds: could not be fetched in \d attempts"):
        keys_of(loader_of(tmp_path, server.url))
    assert time.monotonic() - began < DEADLINE_S + GRACE_S
    assert not list(tmp_path.rglob("*.mds"))
    assert max(server.asked.values()) == (1 if fault is http_kit.is_gone else 6)


@pytest.mark.parametrize("name", ["index.json", "dataset.json"])
@pytest.mark.parametrize("fault", [http_kit.stalls, http_kit.breaks_off, http_kit.is_gone])
def test_the_descriptions_have_the_same_deadline(
    server: FaultyServer, tmp_path: Path, fault: Fault, name: str
) -> None:
    server.misbehave(fault, times=1000, suffix=name)
    began = time.monotonic()
    with pytest.raises(UserError, match=rf"{name}: could not be fetched"):
        loader_of(tmp_path, server.url)
    assert time.monotonic() - began < DEADLINE_S + GRACE_S


def test_workers_report_a_store_that_stalls(server: FaultyServer, tmp_path: Path) -> None:
    server.misbehave(http_kit.stalls, times=1000)
    began = time.monotonic()
    with pytest.raises(UserError, match=r"could not be fetched"):
        keys_of(loader_of(tmp_path, server.url, num_workers=2))
    assert time.monotonic() - began < DEADLINE_S + GRACE_S


def test_an_iteration_given_up_does_not_wait_for_the_store(server: FaultyServer, tmp_path: Path) -> None:
    loader = loader_of(tmp_path, server.url, deadline=60.0)
    server.misbehave(http_kit.is_silent, times=1000)
    began = time.monotonic()
    threading.Timer(0.5, lambda: loader._prefetcher.close()).start()  # type: ignore[union-attr]
    assert list(loader) == []
    assert time.monotonic() - began < GRACE_S


def test_no_server_at_all_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"dataset\.json: could not be fetched in 6 attempts"):
        loader_of(tmp_path, "http://127.0.0.1:9")
    with pytest.raises(UserError, match=r"gopher://.*no store"):
        loader_of(tmp_path, "gopher://127.0.0.1")


def test_a_single_sample_is_from_a_verified_shard(
    remote: Path, samples: list[Sample], tmp_path: Path
) -> None:
    ours = CaptionDataset(OrderOptions([Place(str(tmp_path / "cache"), str(remote))], 8))
    assert ours.get_item(3)["key"] == samples[3].key
    for path in (tmp_path / "cache").rglob("*.mds"):
        path.write_bytes(path.read_bytes()[:-1] + b"!")
    again = CaptionDataset(OrderOptions([Place(str(tmp_path / "cache"), str(remote))], 8))
    assert again.get_item(3)["image"] == samples[3].image
    assert again.read(np.array([3])).column("image")[0] == samples[3].image


@pytest.mark.parametrize("deadline", [0.0, -1.0, float("inf"), float("nan")])
def test_a_deadline_is_finite(tmp_path: Path, deadline: float) -> None:
    with pytest.raises(UserError, match=r"data\.deadline"):
        loader_of(tmp_path, "http://127.0.0.1:9", deadline=deadline)
