"""Leftovers of crashed runs go, what a living process uses stays."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path

import pytest

from loaders.stale_memory import SHARED_MEMORY, YOUNGEST_S, remove_stale_shared_memory

pytestmark = pytest.mark.skipif(
    not SHARED_MEMORY.is_dir(), reason="this system shows no shared memory as files"
)
NUMBER = 987654


def name(what: str) -> str:
    return f"{NUMBER}_{what}"


@pytest.fixture
def leftovers() -> Iterator[list[Path]]:
    """Two names of one number and a lock, old enough to be nobody's."""
    paths = [SHARED_MEMORY / name(what) for what in ("locals", "resume")]
    paths.append(Path(tempfile.gettempdir(), name("cache_filelock")))
    for path in paths:
        path.write_bytes(b"\0" * 16)
        _make_old(path)
    yield paths
    for path in paths:
        path.unlink(missing_ok=True)


def _make_old(path: Path) -> None:
    then = path.stat().st_mtime - 2 * YOUNGEST_S
    os.utime(path, (then, then))


def test_leftovers_are_removed_and_nothing_else(leftovers: list[Path]) -> None:
    other = SHARED_MEMORY / f"{NUMBER}_not_streamings"
    other.write_bytes(b"x")
    _make_old(other)
    try:
        assert {path.name for path in leftovers} <= set(remove_stale_shared_memory())
        assert not any(path.exists() for path in leftovers)
        assert other.exists()
    finally:
        other.unlink()


def test_names_of_a_living_run_stay(leftovers: list[Path]) -> None:
    used = SharedMemory(name("barrier"), create=True, size=16)
    try:
        _make_old(SHARED_MEMORY / name("barrier"))
        assert not {path.name for path in leftovers} & set(remove_stale_shared_memory())
        assert all(path.exists() for path in leftovers)
    finally:
        used.close()
        used.unlink()


def test_young_names_stay(leftovers: list[Path]) -> None:
    for path in leftovers:
        path.touch()
    remove_stale_shared_memory()
    assert all(path.exists() for path in leftovers)


def test_other_ranks_remove_nothing(leftovers: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert remove_stale_shared_memory() == []
