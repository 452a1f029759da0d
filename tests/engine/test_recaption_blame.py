"""Who killed the server: of many requests, of several processes, the guilty alone are set aside."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from build_corpus import make_tars
from recaption_kit import PLAIN, as_set, rows_of, run_stage
from stub_server import good, serving

from benchmarks.answering_server import Answer, prompt_of
from engine.recap.delivery import Lane
from engine.recap.host import close_hosts
from engine.recap.room import SharedRoom, room_for

GUILTY = {f"k{n // 30}-{n % 30}": f"number {n} " for n in (9, 40, 70, 71, 100)}


@pytest.fixture(scope="module")
def tars(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tars(tmp_path_factory.mktemp("tars"), tars=4)


@pytest.fixture(autouse=True)
def _no_engine_stays() -> Iterator[None]:
    yield
    close_hosts()


def is_guilty(asked: dict[str, Any]) -> bool:
    return any(words in prompt_of(asked) for words in GUILTY.values())


def slow(asked: dict[str, Any]) -> Any:
    return asyncio.sleep(0.02, good(asked))


@pytest.mark.parametrize("workers", [0, 4])
def test_the_guilty_are_set_aside_and_nobody_else(tars: Path, tmp_path: Path, workers: int) -> None:
    with serving(good) as stub:
        run_stage(tars, tmp_path / "calm", PLAIN, stub.url)
    with serving(slow, is_guilty) as stub:
        engine = {"concurrency": 8}
        counts = run_stage(tars, tmp_path / "out", PLAIN, stub.url, engine=engine, workers=workers).counts
    rows = rows_of(tmp_path / "out", PLAIN.source)
    assert {row.key: row.status for row in rows if row.status != "ok"} == dict.fromkeys(GUILTY, "engine_died")
    assert counts.status == {"ok": len(rows) - len(GUILTY), "engine_died": len(GUILTY)}
    innocent = {row for row in as_set(rows_of(tmp_path / "calm", PLAIN.source)) if row[0] not in GUILTY}
    assert innocent == as_set([row for row in rows if row.key not in GUILTY])
    # Each once beside others, and twice alone: at most so often, as several may die of one death.
    assert 2 * len(GUILTY) < stub.deaths <= 3 * len(GUILTY)


def test_a_server_that_says_500_and_then_ends_has_died(tars: Path, tmp_path: Path) -> None:
    """As vLLM's server does when its core dies: every request in flight gets HTTP 500."""
    dead = []

    def answer(asked: dict[str, Any]) -> Any:
        if "number 9 " in prompt_of(asked):
            dead.append(1)
            return Answer(status=500)
        return slow(asked)

    def health(path: str, _: dict[str, Any]) -> Answer:
        return Answer(status=503 if path == "/health" else 404)

    with serving(answer, elsewhere=health) as stub:
        run_stage(tars, tmp_path, PLAIN, stub.url)
    statuses = {row.key: row.status for row in rows_of(tmp_path, PLAIN.source) if row.status != "ok"}
    assert statuses == {"k0-9": "engine_died"}
    assert len(dead) == 3


def test_what_fails_beside_others_is_tried_alone(tars: Path, tmp_path: Path) -> None:
    inside = 0

    async def touchy(asked: dict[str, Any]) -> Answer:
        nonlocal inside
        inside += 1
        is_touchy = "0 of a gradient" in prompt_of(asked)  # every tenth
        await asyncio.sleep(0.01 if is_touchy else 0.05)
        inside -= 1
        return Answer(status=500) if is_touchy and inside else good(asked)

    with serving(touchy) as stub:
        run_stage(tars, tmp_path, PLAIN, stub.url, engine={"concurrency": 4})
    assert {row.status for row in rows_of(tmp_path, PLAIN.source)} == {"ok"}


def test_a_room_is_shared_or_taken_by_one(tmp_path: Path) -> None:
    one, other, third = (SharedRoom(tmp_path / "server") for _ in range(3))
    assert one.share()
    assert other.share()
    assert not third.take()  # two are inside; they are told to leave
    assert not one.share()
    one.leave()
    assert not third.take()
    other.leave()
    assert third.take()
    assert not one.share()
    assert not one.take()
    third.leave()
    assert one.share()
    assert other.share()


def test_who_is_kept_out_does_not_take_that_for_silence(tmp_path: Path) -> None:
    taken = SharedRoom(tmp_path / "server")
    assert taken.take()

    async def wait() -> list[float]:
        lane = Lane(4, SharedRoom(tmp_path / "server"))
        times = [lane.clock_s()]
        asyncio.get_running_loop().call_later(0.5, taken.leave)
        async with lane.enter(alone=False):
            times.append(lane.clock_s())
            await asyncio.sleep(0.2)
        return [*times, lane.clock_s()]

    before, inside, after = asyncio.run(wait())
    assert inside - before < 0.1
    assert after - inside >= 0.2


def test_who_asks_one_server_meets_in_one_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    (tmp_path / "shared").mkdir()
    places = [("http://a/v1", None), ("http://b/v1", None), ("http://a/v1", tmp_path / "shared")]
    rooms = [room_for(url, folder) for url, folder in places]
    assert all(room.take() for room in rooms)
    assert not any(room_for(url + "/", folder).share() for url, folder in places)
    assert room_for(None, None).take()
