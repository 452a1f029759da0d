"""A build may be stopped anywhere; the next run ends in the bytes of an undisturbed one."""

from __future__ import annotations

import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from build_corpus import (
    REPOSITORY,
    FailingSource,
    build_dataset,
    command,
    make_tars,
    options_for,
    run_command,
    shard_arguments,
    tree,
)

from engine.build.budget import Budget
from engine.build.run import RunOptions, build
from engine.errors import UserError
from engine.sources import open_source

CRASHING_BUILD = Path(__file__).with_name("crashing_build.py")
LARGEST_FILE = 18_500  # bytes; a full shard has more: up to 20,000, less what the next sample would take


@pytest.fixture(scope="module")
def tars(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tars(tmp_path_factory.mktemp("tars"))


@pytest.fixture(scope="module")
def expected(tars: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    out = tmp_path_factory.mktemp("built") / "out"
    build_dataset(tars, out)
    return tree(out)


def killed_after(tars: Path, out: Path, delay_s: float) -> bool:
    """Runs a build, kills all of it `delay_s` after it began to write; whether it was still running."""
    process = subprocess.Popen(
        command("shard", *shard_arguments(tars, out), "--workers", "2"),
        cwd=REPOSITORY, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    while process.poll() is None and not (out / ".state" / "plan.json").exists():
        time.sleep(0.005)
    try:
        process.wait(delay_s)
        return False
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return True


def kill_and_resume(tars: Path, out: Path, delays_s: list[float]) -> int:
    """Kills a build once for every delay, then lets it end; how often it was in time."""
    kills = sum(killed_after(tars, out, delay) for delay in delays_s)
    result = run_command("shard", *shard_arguments(tars, out))
    assert result.returncode == 0, result.stderr
    return kills


def test_killed_at_five_moments(tars: Path, expected: dict[str, str], tmp_path: Path) -> None:
    draw = random.Random(5)
    kills = kill_and_resume(tars, tmp_path / "out", [draw.uniform(0, 1.2) for _ in range(5)])
    assert kills > 0
    assert tree(tmp_path / "out") == expected


@pytest.mark.slow
def test_killed_at_fifteen_moments(tars: Path, expected: dict[str, str], tmp_path: Path) -> None:
    draw, kills = random.Random(30), 0
    for at in range(15):
        kills += killed_after(tars, tmp_path / str(at), draw.uniform(0, 2.5))
        build_dataset(tars, tmp_path / str(at))
        assert tree(tmp_path / str(at)) == expected
        shutil.rmtree(tmp_path / str(at))
    assert kills >= 8


@pytest.mark.parametrize("stride", [7, pytest.param(1, marks=pytest.mark.slow)])
def test_killed_before_every_file(tmp_path: Path, stride: int) -> None:
    """Exhaustive where random moments are not: for every file a build that is killed before it appears."""
    tars = make_tars(tmp_path / "tars", tars=2, samples=8)
    result = subprocess.run(
        [sys.executable, CRASHING_BUILD, tars, tmp_path, str(stride)],
        cwd=REPOSITORY, capture_output=True, text=True, timeout=300, check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(REPOSITORY), str(CRASHING_BUILD.parent)])},
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert int(result.stdout) > 20


@pytest.mark.parametrize(("how", "message"), [("raise", "the fuse blew"), ("kill", "killed by SIGKILL")])
def test_failure_in_the_middle(
    tars: Path, expected: dict[str, str], tmp_path: Path, how: str, message: str
) -> None:
    fuse, out, options = tmp_path / "fuse", tmp_path / "out", options_for(tars)
    fuse.touch()
    source = FailingSource(open_source(options.source), fuse, how)
    run = RunOptions(out, 2, budget=Budget(1.0))
    with pytest.raises(UserError, match=rf"unit 00001 .*{message}"):
        build(source, options, run)
    fuse.unlink()
    build(source, options, run)
    assert tree(out) == expected


def test_interrupted_from_the_keyboard(tars: Path, expected: dict[str, str], tmp_path: Path) -> None:
    out = tmp_path / "out"
    process = subprocess.Popen(
        command("shard", *shard_arguments(tars, out)), cwd=REPOSITORY, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    while process.poll() is None and not (out / ".state" / "plan.json").exists():
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGINT)
    errors = process.communicate(timeout=60)[1]
    assert (process.returncode, errors) == (130, "stopped; the same command goes on from here\n")
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)  # the workers are gone too
    build_dataset(tars, out)
    assert tree(out) == expected


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own of 160 kB; where none may be mounted, a plain folder."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=160k", "tmpfs", str(folder)]
    allowed = shutil.which("mount") and os.geteuid() == 0
    mounted = allowed and subprocess.run(mount, capture_output=True, check=False).returncode == 0
    yield folder
    if mounted:
        subprocess.run(["umount", folder], check=True)


@contextmanager
def no_room(disk: Path) -> Iterator[str]:
    """What a build says while the disk is full, or, on one that is shared, while files may not grow."""
    if os.path.ismount(disk):
        yield "No space left on device"
        subprocess.run(["mount", "-o", "remount,size=64m", disk], check=True)
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (LARGEST_FILE, hard))
    try:
        yield "File too large"
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_full_disk(tars: Path, expected: dict[str, str], disk: Path) -> None:
    with no_room(disk) as message, pytest.raises(UserError, match=message):
        build_dataset(tars, disk / "out")
    assert list(disk.glob("out/.state/*"))  # it was under way
    assert not (disk / "out" / "index.json").exists()
    build_dataset(tars, disk / "out")
    assert tree(disk / "out") == expected


def test_a_finished_build_says_so(tars: Path, expected: dict[str, str], tmp_path: Path) -> None:
    build_dataset(tars, tmp_path / "out")
    again = run_command("shard", *shard_arguments(tars, tmp_path / "out"))
    assert again.returncode == 0
    assert "finished before" in again.stdout
    assert tree(tmp_path / "out") == expected


@pytest.mark.parametrize("finished", [True, False])
def test_changed_options_are_named(tars: Path, tmp_path: Path, finished: bool) -> None:
    out = tmp_path / "out"
    build_dataset(tars, out) if finished else killed_after(tars, out, 0)
    before = tree(out)
    result = run_command("shard", *shard_arguments(tars, out), "--quality", "80", "--context-length", "20")
    assert result.returncode == 1
    assert "options.image.quality: 90 there, 80 now" in result.stderr
    assert "tokenizer.context_length: 77 there, 20 now" in result.stderr
    assert tree(out) == before


def test_changed_input_is_named(tars: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(tars, tmp_path / "tars")
    build_dataset(copy, tmp_path / "out")
    data = bytearray((copy / "00002.tar").read_bytes())
    data[:512] = bytes(512)
    (copy / "00002.tar").write_bytes(data)
    with pytest.raises(UserError, match=r"inputs\[2\]\.sampled_hash"):
        build_dataset(copy, tmp_path / "out")


def test_foreign_folder_is_left_alone(tars: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("years of work")
    with pytest.raises(UserError, match=r"thesis\.txt"):
        build_dataset(tars, tmp_path / "out")
    assert list(tree(tmp_path / "out")) == ["thesis.txt"]


def test_two_builds_do_not_share_a_folder(tars: Path, tmp_path: Path) -> None:
    from engine.build.state import build_lock

    (tmp_path / "out").mkdir()
    with build_lock(tmp_path / "out"), pytest.raises(UserError, match="another build"):
        build_dataset(tars, tmp_path / "out")


def test_too_many_failures_stop_and_resume(tars: Path, expected: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"(?s)too many samples failed: 8 of.*truncated +4.*--max-failures"):
        build_dataset(tars, tmp_path / "out", workers=2, budget=Budget(7))
    build_dataset(tars, tmp_path / "out", workers=2, budget=Budget(8))
    assert tree(tmp_path / "out") == expected
