"""A data set in S3, through the real protocol: moto's server on loopback."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.errors import UserError
from loaders.loader import CaptionLoader, DataConfig, build_loader
from tests.loaders import http_kit
from tests.loaders.corpus import Sample, write_dataset
from tests.loaders.s3_kit import S3Front, bucket, in_front_of, s3_server

BUCKET = "shards"
FRONT_DEADLINE_S, GRACE_S = 6.0, 8.0
# Making a client takes a good part of a second; an attempt that stalls is given up after a tenth of this.
PATIENT_S = 25.0
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    # A download may be told to end while Python runs a finaliser, which may only print that.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.usefixtures("forgotten_sockets"),
]


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with s3_server() as address:
        yield address


@pytest.fixture
def s3(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    with bucket(BUCKET, endpoint, monkeypatch) as client:
        yield client


def upload(s3: Any, folder: Path) -> None:
    for path in folder.rglob("*.*"):
        if path.is_file():
            s3.upload_file(str(path), BUCKET, f"set/{path.relative_to(folder)}")


def loader_of(cache: Path, **changes: Any) -> CaptionLoader:
    settings: dict[str, Any] = {"deadline": 100.0, "threads": 1, "dtype": "uint8", "image_size": 8}
    return build_loader(DataConfig(str(cache), 8, remote=f"s3://{BUCKET}/set", **(settings | changes)))


@pytest.mark.parametrize("compression", [None, "zstd:3"])
@pytest.mark.parametrize("workers", [0, 2])
def test_a_bucket_is_a_remote(
    s3: Any, samples: list[Sample], tmp_path: Path, compression: str | None, workers: int
) -> None:
    upload(s3, write_dataset(tmp_path / "data", samples, compression=compression))
    loader = loader_of(tmp_path / "cache", num_workers=workers)
    assert sorted(k for batch in loader for k in batch["key"]) == [sample.key for sample in samples]
    counts = loader.dataset.counters.total()
    assert (counts.shards_fetched, counts.fetch_retries) == (4, 0)


def test_a_missing_and_a_damaged_object_are_named(s3: Any, samples: list[Sample], tmp_path: Path) -> None:
    upload(s3, write_dataset(tmp_path / "data", samples[:16], shards=2))
    damaged = "set/00001/shard.00000.mds"
    data = bytearray(s3.get_object(Bucket=BUCKET, Key=damaged)["Body"].read())
    data[50] ^= 1
    s3.put_object(Bucket=BUCKET, Key=damaged, Body=bytes(data))
    began = time.monotonic()
    with pytest.raises(UserError, match=r"s3://.*00001/shard.00000.mds: .* 6 attempts .*index\.json says"):
        list(loader_of(tmp_path / "cache"))
    s3.delete_object(Bucket=BUCKET, Key=damaged)
    with pytest.raises(UserError, match=r"s3://.*00001/shard.00000.mds: .* 1 attempts .*not found"):
        list(loader_of(tmp_path / "cache"))
    assert time.monotonic() - began < 100.0


# What the client itself tries again, it does without our knowing.
FAULTS = [http_kit.stalls, http_kit.trickles, http_kit.corrupts, http_kit.breaks_off, http_kit.is_silent]


@pytest.fixture
def front(s3: Any, endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Front]:
    with in_front_of(endpoint) as front:
        monkeypatch.setenv("S3_ENDPOINT_URL", front.url)
        yield front


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_that_passes_is_lived_through(
    s3: Any, front: S3Front, samples: list[Sample], tmp_path: Path, fault: Callable[..., None]
) -> None:
    upload(s3, write_dataset(tmp_path / "data", samples[:16], shards=2))
    front.misbehave(fault, times=2)
    began = time.monotonic()
    loader = loader_of(tmp_path / "cache", deadline=PATIENT_S)
    assert sorted(k for batch in loader for k in batch["key"]) == [sample.key for sample in samples[:16]]
    assert time.monotonic() - began < PATIENT_S + GRACE_S
    assert min(n for path, n in front.asked.items() if path.endswith(".mds")) >= 3


@pytest.mark.parametrize("fault", [*FAULTS, http_kit.is_gone])
def test_a_fault_that_stays_is_an_error_before_the_deadline(
    s3: Any, front: S3Front, samples: list[Sample], tmp_path: Path, fault: Callable[..., None]
) -> None:
    upload(s3, write_dataset(tmp_path / "data", samples[:16], shards=2))
    front.misbehave(fault, times=1000)
    began = time.monotonic()
    with pytest.raises(UserError, match=r"s3://.*shard\.00000\.mds: could not be fetched in \d attempts"):
        list(loader_of(tmp_path / "cache", deadline=FRONT_DEADLINE_S))
    assert time.monotonic() - began < FRONT_DEADLINE_S + GRACE_S
    assert not list((tmp_path / "cache").rglob("*.mds"))


def test_an_unreachable_endpoint_ends_by_the_deadline(
    s3: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("S3_ENDPOINT_URL", "http://127.0.0.1:9")
    began = time.monotonic()
    with pytest.raises(UserError, match=r"dataset\.json: could not be fetched"):
        loader_of(tmp_path, deadline=3.0)
    assert time.monotonic() - began < 3.0 + 6.0
