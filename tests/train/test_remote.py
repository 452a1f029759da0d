"""A run whose folder is in a store: uploaded, sealed, and gone on with from there. moto's S3 server."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from engine.errors import UserError
from tests.loaders.s3_kit import bucket, s3_server
from tests.train.run_kit import COMPOSER, ROOT, command, losses, run
from train.config import load_config
from train.keeping import seals
from train.keeping.folder import check_folder, run_folder
from train.keeping.remote import UPLOADING, Mirror, RemoteFolder, bring_newest

ONE = (sys.executable,)
BUCKET = "runs"
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with s3_server() as address:
        yield address


@pytest.fixture
def s3(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    with bucket(BUCKET, endpoint, monkeypatch) as client:
        yield client


def stored(s3: Any) -> set[str]:
    return {item["Key"] for item in s3.list_objects_v2(Bucket=BUCKET).get("Contents", [])}


def checkpoint(folder: Path, step: int, content: bytes = b"weights") -> Path:
    """A file with a seal; nothing here looks inside."""
    folder.mkdir(exist_ok=True)
    path = folder / f"ep0-ba{step}-rank0.pt"
    path.write_bytes(content)
    seals.seal(folder, 0)
    return path


def test_a_seal_is_stored_last(s3: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And a checkpoint is stored even if the run removes it meanwhile."""
    order: list[str] = []
    upload = RemoteFolder.upload
    monkeypatch.setattr(RemoteFolder, "upload", lambda *a: order.append(a[2]) or upload(*a))
    mirror = Mirror(tmp_path / "run", RemoteFolder(f"s3://{BUCKET}/a/b"))
    path = checkpoint(tmp_path / "run", 4)
    mirror.send(path)
    mirror.send(path)
    path.unlink()
    (tmp_path / "run" / "config.yaml").write_text("seed: 1\n")
    mirror.finish()
    assert order.count(path.name) == 1
    assert order.index(path.name) < order.index(seals.seal_of(path).name)
    assert stored(s3) == {f"a/b/{name}" for name in (path.name, seals.seal_of(path).name, "config.yaml")}
    assert sorted(p.name for p in (tmp_path / "run").iterdir()) == ["config.yaml", seals.seal_of(path).name]


@pytest.mark.parametrize("part", [".pt", ".xxh64"])
def test_what_could_not_be_stored_is_tried_again_and_then_told(
    s3: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], part: str
) -> None:
    failures: list[bool] = []
    upload = RemoteFolder.upload

    def flaky(self: RemoteFolder, path: Path, name: str) -> None:
        if name.endswith(part) and failures.pop(0):
            raise UserError("the store is away")
        upload(self, path, name)

    monkeypatch.setattr(RemoteFolder, "upload", flaky)
    failures[:] = [True, False]
    mirror = Mirror(tmp_path / "run", RemoteFolder(f"s3://{BUCKET}/a"))
    mirror.send(checkpoint(tmp_path / "run", 4))
    mirror.finish()
    assert "warning: the store is away; tried again" in capfd.readouterr().err
    assert "a/ep0-ba4-rank0.pt.xxh64" in stored(s3)
    failures[:] = [True, True]
    mirror = Mirror(tmp_path / "run", RemoteFolder(f"s3://{BUCKET}/a"))
    mirror.send(checkpoint(tmp_path / "run", 8))
    with pytest.raises(UserError, match="the store is away"):
        mirror.finish()
    # The next part of the run sends what this one could not.
    failures[:] = [False]
    Mirror(tmp_path / "run", RemoteFolder(f"s3://{BUCKET}/a")).finish()
    assert "a/ep0-ba8-rank0.pt.xxh64" in stored(s3)


def test_what_waits_for_a_store_does_not_fill_the_disk(
    s3: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(self: RemoteFolder, path: Path, name: str) -> None:
        raise UserError("the store is away")

    monkeypatch.setattr(RemoteFolder, "upload", away)
    mirror = Mirror(tmp_path / "run", RemoteFolder(f"s3://{BUCKET}/a"))
    for step in range(6):
        mirror.send(checkpoint(tmp_path / "run", step))
        mirror._thread.submit(int).result()  # what was sent has failed
    kept = [path.name for path in (tmp_path / "run" / UPLOADING).iterdir()]
    assert sorted(kept) == ["ep0-ba5-rank0.pt", "ep0-ba5-rank0.pt.xxh64"]


def test_two_stores_do_not_share_a_folder(s3: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    words = [f"save_folder=s3://{BUCKET}/two", "autoresume=true", "run_name=same"]
    config = load_config(ROOT / "yamls/tiny_cpu.yaml", words)
    folder = run_folder(config)
    assert folder is not None
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(f"save_folder: s3://{BUCKET}/one\n")
    with pytest.raises(UserError, match=f"holds the run of s3://{BUCKET}/one, not of s3://{BUCKET}/two"):
        check_folder(config, folder)
    (folder / "config.yaml").write_text(f"save_folder: s3://{BUCKET}/two\n")
    check_folder(config, folder)


def test_the_newest_sound_one_is_brought(s3: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    remote = RemoteFolder(f"s3://{BUCKET}/a")
    for step in (4, 8, 12, 16):
        path = checkpoint(tmp_path / "other", step, str(step).encode())
        remote.upload(path, path.name)
        if step < 16:  # 16: the run ended before its seal was stored
            remote.upload(seals.seal_of(path), seals.seal_of(path).name)
    s3.put_object(Bucket=BUCKET, Key="a/ep0-ba12-rank0.pt", Body=b"half")
    s3.put_object(Bucket=BUCKET, Key="a/log.jsonl", Body=b"{}\n")
    here = tmp_path / "here"
    checkpoint(here, 4, b"4")
    seals.choose_sound(here)
    bring_newest(remote, here)
    seals.choose_sound(here)
    assert (here / seals.LATEST).resolve().name == "ep0-ba8-rank0.pt"
    assert (here / "ep0-ba12-rank0.pt.damaged").exists()
    assert (here / "log.jsonl").read_text() == "{}\n"
    assert "ep0-ba12-rank0.pt: set aside" in capfd.readouterr().err
    checkpoint(here, 20)
    seals.choose_sound(here)
    bring_newest(remote, here)  # nothing newer there
    assert (here / seals.LATEST).resolve().name == "ep0-ba20-rank0.pt"


def test_stores_that_are_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="ftp://x/y: cannot open it"):
        RemoteFolder("ftp://x/y")
    monkeypatch.setenv("S3_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(UserError, match="s3://gone/x: cannot list it"):
        RemoteFolder("s3://gone/x").names()


@pytest.mark.slow
def test_a_run_goes_on_on_another_machine(
    s3: Any, place: Path, undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two ranks, then one, without the first one's files; the whole log and the same losses at the end."""
    name = f"remote-{tmp_path.name}"
    folder = Path("runs") / name

    def words(*more: str, launcher: tuple[str, ...]) -> list[str]:
        where = [f"save_folder=s3://{BUCKET}/exp/one", *more]
        return command(place, name, *where, launcher=launcher)

    try:
        first = subprocess.Popen(words(launcher=COMPOSER), stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        while f"exp/one/ep1-ba8-rank0.pt.{seals.HASH}" not in stored(s3) and first.poll() is None:
            time.sleep(0.1)
        for process in [*psutil.Process(first.pid).children(), first]:
            process.kill()
        first.wait()
        shutil.rmtree(folder)
        config = load_config(ROOT / "yamls/tiny_cpu.yaml", words(launcher=ONE)[3:])
        with pytest.raises(UserError, match="exp/one: there is a run already"):
            check_folder(config, run_folder(config))
        run(words("autoresume=true", launcher=ONE))
        assert losses(folder) == pytest.approx(losses(undisturbed), rel=1e-3)
        assert "exp/one/results.json" in stored(s3)
        start = f"load_path=s3://{BUCKET}/exp/one/ep1-ba8-rank0.pt"
        other = [start, "run_name=other", f"save_folder={tmp_path}/other"]
        run(command(place, "other", *other))
        assert min(losses(tmp_path / "other")) == 8
        assert losses(tmp_path / "other")[15] == pytest.approx(losses(undisturbed)[15], rel=1e-3)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
