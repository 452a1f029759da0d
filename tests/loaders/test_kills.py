"""Processes that are killed take nothing with them: no other waits for them, and the next run starts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from threading import Timer

import pytest

from loaders.claims import claim
from loaders.download import StoppedError
from loaders.fetch import Fetcher
from loaders.loader import CaptionLoader, DataConfig, build_loader
from tests.loaders import http_kit
from tests.loaders.corpus import Sample, write_dataset
from tests.loaders.http_kit import serving

ROOT = Path(__file__).parents[2]
# Of a busy machine; a lock that nobody frees would be waited for until the deadline.
SOON_S = 20.0
DEADLINE_S = 120.0
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.usefixtures("forgotten_sockets"),
]


def loader_of(cache: str, remote: str, workers: int = 0) -> CaptionLoader:
    return build_loader(
        DataConfig(
            cache,
            4,
            remote=remote,
            deadline=DEADLINE_S,
            num_workers=workers,
            threads=1,
            dtype="uint8",
            image_size=8,
        )
    )


def wait_for(what: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not what():
        assert time.monotonic() < end
        time.sleep(0.05)


def _left_after_a_run(cache: Path, remote: str) -> list[str]:
    list(loader_of(str(cache), remote))
    return [path.name for path in (cache / ".fetch").iterdir()]


@pytest.mark.parametrize("workers", [0, 1])
def test_the_next_run_takes_over_from_one_killed_while_it_fetched(
    samples: list[Sample], tmp_path: Path, workers: int
) -> None:
    remote = write_dataset(tmp_path / "remote", samples[:16], shards=2)
    with serving(remote) as server:
        server.misbehave(http_kit.is_silent, times=1)
        command = [sys.executable, __file__, str(tmp_path / "cache"), server.url, str(workers)]
        # A group of its own: its workers are to be killed with it.
        run = subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, start_new_session=True
        )
        wait_for(lambda: any(path.endswith(".mds") for path in server.asked))
        os.killpg(run.pid, signal.SIGKILL)
        run.wait()
        began = time.monotonic()
        keys = sorted(k for batch in loader_of(str(tmp_path / "cache"), server.url) for k in batch["key"])
        assert time.monotonic() - began < SOON_S
    assert keys == [sample.key for sample in samples[:16]]
    # The next run removes what the dead left; one that was killed may take a moment to die.
    wait_for(lambda: _left_after_a_run(tmp_path / "cache", str(remote)) == ["claims"])


def test_a_killed_worker_ends_the_run_and_not_the_next(samples: list[Sample], tmp_path: Path) -> None:
    """How torch says so varies: the signal's number, or a batch that could not be taken from the dead."""
    remote = write_dataset(tmp_path / "remote", samples, shards=4)
    cache = str(tmp_path / "cache")
    command = [sys.executable, __file__, cache, str(remote), "2", "kill"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    run = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=DEADLINE_S
    )
    assert run.returncode != 0
    keys = sorted(key for batch in loader_of(cache, str(remote)) for key in batch["key"])
    assert keys == [sample.key for sample in samples]


def test_claims_exclude_and_end_with_their_holder(tmp_path: Path) -> None:
    lock = tmp_path / "claims"
    with claim(lock, "a", 0) as first, claim(lock, "a", 0) as second, claim(lock, "b", 0) as other:
        assert (first, second, other) == (True, False, True)
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(lock)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "True\n"
    with claim(lock, "a", 0.1) as mine:
        assert not mine
    holder.kill()
    with claim(lock, "a", SOON_S) as mine:
        assert mine
    holder.communicate()


def test_a_wait_for_another_process_ends_when_nobody_wants_it(tmp_path: Path) -> None:
    fetcher = Fetcher(tmp_path, None, DEADLINE_S)
    with claim(tmp_path / ".fetch" / "claims", "a", 0):
        Timer(0.5, setattr, (fetcher, "stopped", True)).start()
        began = time.monotonic()
        with pytest.raises(StoppedError), fetcher.claim("a", fetcher.until()):
            pass
        assert time.monotonic() - began < SOON_S


HOLD = """
import sys, time
from pathlib import Path
from loaders.claims import claim
with claim(Path(sys.argv[1]), "a", 0) as got:
    print(got, flush=True)
    time.sleep(600)
"""


def iterate(loader: CaptionLoader, kill: bool) -> None:
    for _ in loader:
        if kill:
            os.kill(loader._iterator._workers[0].pid, signal.SIGKILL)  # type: ignore[union-attr]


if __name__ == "__main__":
    iterate(loader_of(sys.argv[1], sys.argv[2], int(sys.argv[3])), "kill" in sys.argv)
