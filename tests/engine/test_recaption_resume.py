"""A run may be stopped anywhere; the next one ends in the same rows and asks nothing twice."""

from __future__ import annotations

import random
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from build_corpus import REPOSITORY, command, make_tars, run_command
from recaption_kit import VEC, as_set, rows_of, run_stage
from stub_server import Stub, good, number, serving

from benchmarks.answering_server import Answer
from engine.errors import UserError
from engine.recap.host import close_hosts
from engine.recap.log import RequestLog
from engine.recap.requests import Completion

KILLS = 20


@pytest.fixture(scope="module")
def tars(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tars(tmp_path_factory.mktemp("tars"), tars=4)


@pytest.fixture(autouse=True)
def _no_engine_stays() -> Iterator[None]:
    yield
    close_hosts()


def uneven(asked: dict[str, Any]) -> Answer:
    """Some captions need another seed."""
    return Answer("dog") if number(asked) % 4 == 0 else good(asked)


def arguments(tars: Path, ledger: Path, stub: Stub) -> list[str]:
    words = [str(tars / "*.tar"), "--mode", "vec", "--out", str(ledger), "--base-url", stub.url]
    return [*words, "--max-failures", "100%", "--concurrency", "4"]


def killed_after(words: list[str], log: Path, delay_s: float) -> bool:
    """Runs the command, kills it `delay_s` after it began to ask; whether it was still running."""
    process = subprocess.Popen(
        command("recaption", *words), cwd=REPOSITORY, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    while process.poll() is None and not log.exists():
        time.sleep(0.005)
    try:
        process.wait(delay_s)
        return False
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return True


def slow(asked: dict[str, Any]) -> Any:
    import asyncio

    return asyncio.sleep(0.05, uneven(asked))


@pytest.mark.slow
def test_killed_at_twenty_random_moments(tars: Path, tmp_path: Path) -> None:
    with serving(uneven) as stub:
        run_stage(tars, tmp_path / "calm", VEC, stub.url)
    draw, kills = random.Random(20), 0
    with serving(slow) as stub:
        words = arguments(tars, tmp_path / "out", stub)
        log = tmp_path / "out" / "vec" / ".state" / "packed" / "00000.log"
        for _ in range(KILLS):
            kills += killed_after(words, log, draw.uniform(0, 0.6))
        done = run_command("recaption", *words)
        assert done.returncode == 0, done.stderr
        # What was in flight at a kill is asked again: at most `--concurrency` requests each time.
        again = sum(count - 1 for count in stub.asked.values())
    assert kills > 3
    assert again <= 4 * kills
    rows = rows_of(tmp_path / "out", "vec")
    assert as_set(rows) == as_set(rows_of(tmp_path / "calm", "vec"))


def test_stopped_by_an_error_nothing_is_asked_twice(tars: Path, tmp_path: Path) -> None:
    with serving(uneven) as stub:
        run_stage(tars, tmp_path / "calm", VEC, stub.url)
    asked: list[int] = []

    def breaking(body: dict[str, Any]) -> Answer:
        asked.append(1)
        return Answer(status=401) if len(asked) in (30, 60, 90) else uneven(body)

    with serving(breaking) as stub:
        for _ in range(4):
            with suppress(UserError):
                run_stage(tars, tmp_path / "out", VEC, stub.url, engine={"concurrency": 1})
    # The request that failed, and the one that was in flight when the run stopped.
    again = [count for count in stub.asked.values() if count > 1]
    assert 3 <= len(again) <= 6
    assert set(again) == {2}
    assert as_set(rows_of(tmp_path / "out", "vec")) == as_set(rows_of(tmp_path / "calm", "vec"))


def test_a_torn_log_loses_its_torn_line_only(tmp_path: Path) -> None:
    path = tmp_path / "0.log"
    answers = {f"{n:032x}": Completion(f"text {n} \u00e9\n", "stop", n, n) for n in range(5)}
    with RequestLog(path) as log:
        for name, answer in answers.items():
            log.append(name, answer)
    whole = path.read_bytes()
    last = whole[:-1].rfind(b"\n") + 1
    for end in range(last, len(whole)):
        path.write_bytes(whole[:end])
        with RequestLog(path) as log:
            assert len(log) == 4
            assert log.find(f"{4:032x}") is None
            log.append(f"{4:032x}", answers[f"{4:032x}"])
        assert path.read_bytes() == whole


def test_a_damaged_line_loses_no_other(tmp_path: Path) -> None:
    path = tmp_path / "0.log"
    with RequestLog(path) as log:
        for n in range(5):
            log.append(f"{n:032x}", Completion(f"text {n}", "stop", n, n))
    data = bytearray(path.read_bytes())
    data[data.index(b"text 2")] ^= 1
    path.write_bytes(data)
    for _ in range(2):
        with RequestLog(path) as log:
            assert [log.find(f"{n:032x}") is not None for n in range(5)] == [True, True, False, True, True]
