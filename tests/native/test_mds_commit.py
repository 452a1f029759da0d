"""Files appear whole or not at all: on a full disk, under a size limit, and when the writer is killed."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.native import MdsShard, NativeError, Status, commit_file
from engine.shards.mds_writer import MdsWriter


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_parts_become_one_file_and_replace_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "file"
    commit_file(path, b"old")
    commit_file(path, [b"new", b"", bytearray(b" content")])
    assert path.read_bytes() == b"new content"
    assert names(tmp_path) == ["file"]


def test_permissions_are_those_of_any_new_file(tmp_path: Path) -> None:
    (tmp_path / "usual").write_bytes(b"")
    commit_file(tmp_path / "ours", b"")
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_relative_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    commit_file("file", b"x")
    assert names(tmp_path) == ["file"]


def test_what_cannot_be_written_is_said_in_the_systems_words(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    for path, said in ((tmp_path / "no" / "file", "No such file"), (tmp_path / "taken", "Is a directory")):
        with pytest.raises(NativeError, match=said) as error:
            commit_file(path, b"x")
        assert error.value.status == Status.IO_ERROR
        assert str(path) in str(error.value)
    assert names(tmp_path) == ["taken"]


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one MiB, where mounting is allowed."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("mounting a tmpfs needs root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_leaves_the_finished_shards_only(full_disk: Path) -> None:
    writer = MdsWriter(full_disk, {"a": "bytes"}, size_limit=400_000)
    with pytest.raises(NativeError, match="No space left on device") as error:
        writer.write_batch({"a": [b"x" * 300_000] * 10})
    assert error.value.status == Status.IO_ERROR
    assert names(full_disk) == ["shard.00000.mds", "shard.00001.mds", "shard.00002.mds"]
    assert {MdsShard(path, ["a"], [None]).samples for path in full_disk.iterdir()} == {1}


def test_a_file_size_limit_is_an_error_not_a_signal(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(NativeError, match="File too large"):
            commit_file(tmp_path / "file", b"x" * 2000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert names(tmp_path) == []


def test_a_writer_goes_on_after_the_disk_has_room_again(tmp_path: Path) -> None:
    writer = MdsWriter(tmp_path / "data", {"a": "bytes"})
    writer.write({"a": b"x"})
    (tmp_path / "data").rename(tmp_path / "away")
    with pytest.raises(NativeError, match="No such file"):
        writer.finish()
    (tmp_path / "away").rename(tmp_path / "data")
    assert [entry.samples for entry in writer.finish()] == [1]


ENDLESS = """
import sys
from engine.shards.mds_writer import MdsWriter
writer = MdsWriter(sys.argv[1], {"a": "bytes"}, size_limit=3_000_000)
print("ready", flush=True)
while True:
    writer.write({"a": bytes(200_000)})
"""


def test_killed_at_any_moment_only_whole_shards_have_names(tmp_path: Path) -> None:
    for trial in range(6):
        with subprocess.Popen([sys.executable, "-c", ENDLESS, tmp_path], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            time.sleep(0.02 + 0.017 * trial)
            process.send_signal(signal.SIGKILL)
        shards = list(tmp_path.glob("*.mds"))
        for path in shards:
            shard = MdsShard(path, ["a"], [None])
            shard.check()
            assert shard.samples == 14
        assert all(path in shards or path.suffix == ".tmp" for path in tmp_path.iterdir())
    (tmp_path / "shard.00000.mds.1-0.tmp").write_bytes(b"half")
    MdsWriter(tmp_path, {"a": "bytes"})
    assert not list(tmp_path.glob("*.tmp"))
