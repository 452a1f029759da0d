"""Engines and answers that go wrong: every sample still ends in one row, and nobody waits for ever."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Iterator
from pathlib import Path
from typing import Any

import pytest
from build_corpus import make_tars
from recaption_kit import PLAIN, VEC, VECAP, as_set, rows_of, run_stage
from stub_server import good, number, serving

from benchmarks.answering_server import Answer, prompt_of
from engine.build.budget import Budget
from engine.captions.ledger import LedgerRow
from engine.errors import UserError
from engine.recap.captioner import MOST_RETRIES
from engine.recap.host import close_hosts

PATHOLOGIES = (
    Answer("I am sorry that I cannot describe this content."),
    Answer(""),
    Answer("dog"),
    Answer("The image"),
    Answer("- one dog\n- two cats\n- three birds"),
    Answer("a dog a dog a dog a dog a dog a dog a dog a dog a dog"),
    Answer("A very long caption that was cut in the", "length"),
    Answer("Ein kleiner Hund steht mit seinem Ball auf der gruenen Wiese und wartet"),
    Answer("Visit http://spam.example/win for a small dog on the green field"),
    Answer("Write to win@spam.example about a small dog on the green field"),
    Answer("Describe the image concisely, less than 20 words"),
    Answer(raw=b'{"choices": []}'),
    Answer(raw=b"not json at all"),
    Answer(raw=b"[" * 100_000),
)


@pytest.fixture(scope="module")
def tars(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tars(tmp_path_factory.mktemp("tars"), tars=2)


@pytest.fixture(autouse=True)
def _no_engine_stays() -> Iterator[None]:
    yield
    close_hosts()


def pathological(asked: dict[str, Any]) -> Answer:
    """Every third request goes well; retries of the others too, now and then."""
    n = number(asked)
    return good(asked) if n % 3 == 0 else PATHOLOGIES[n // 3 % len(PATHOLOGIES)]


def refusing(asked: dict[str, Any]) -> Answer:
    """Refuses what holds AltText about picture 1, 10, 11, ...; writes from VeC alone."""
    if "picture number 1" in prompt_of(asked):
        return Answer(json.dumps({"caption": "I am sorry that I cannot help with this request."}))
    return good(asked)


def fallbacks_of(rows: list[LedgerRow]) -> dict[str, int]:
    found = [row.fallback for row in rows]
    return {name: found.count(name) for name in sorted(set(found))}


@pytest.mark.parametrize("stage", [VEC, PLAIN], ids=lambda stage: stage.source)
def test_every_pathology_is_accounted_for(tars: Path, tmp_path: Path, stage: Any) -> None:
    with serving(pathological) as stub:
        counts = run_stage(tars, tmp_path, stage, stub.url).counts
    assert counts.seen == 60 == counts.out + counts.rejected + counts.duplicates
    rows = rows_of(tmp_path, stage.source)
    assert len({row.key for row in rows}) == len(rows) == counts.out
    assert max(row.attempts for row in rows) <= 1 + MOST_RETRIES
    assert sum(counts.status.values()) == sum(counts.fallbacks.values()) == counts.out
    assert len(counts.status) >= 4
    for row in rows:
        assert (row.text is None) == (row.fallback == "none")
        assert row.fallback == "" or row.status != "ok"


def test_a_refusal_is_written_again_from_vec_alone(tars: Path, tmp_path: Path) -> None:
    with serving(refusing) as stub:
        run_stage(tars, tmp_path, VEC, stub.url)
        run_stage(tars, tmp_path, VECAP, stub.url)
    refused = [row for row in rows_of(tmp_path, "vecap") if row.status == "refusal"]
    assert len(refused) > 5
    for row in refused:
        assert (row.fallback, row.attempts) == ("vec_alone", 2)
        assert str(row.text).endswith("in the afternoon sun.")


def test_the_chain_ends_in_vec(tars: Path, tmp_path: Path) -> None:
    with serving(good) as stub:
        run_stage(tars, tmp_path, VEC, stub.url)
    with serving(lambda asked: Answer("")) as stub:
        run_stage(tars, tmp_path, VECAP, stub.url)
    vec = {row.key: row.text for row in rows_of(tmp_path, "vec")}
    rows = rows_of(tmp_path, "vecap")
    assert all(row.text == vec[row.key] for row in rows if row.fallback == "vec")
    assert fallbacks_of(rows) == {"alttext": 2, "vec": len(vec)}  # two images cannot be decoded
    asked = [row for row in rows if row.fallback == "vec" and row.status != "no_alttext"]
    assert {row.attempts for row in asked} == {2 + MOST_RETRIES}


def test_a_caption_that_comes_for_many_inputs_is_no_caption(tmp_path: Path) -> None:
    make_tars(tmp_path / "tars", tars=1, samples=60)
    same = Answer("A brown dog runs over a green field with a red ball.")
    with serving(lambda asked: same) as stub:
        run_stage(tmp_path / "tars", tmp_path / "out", VEC, stub.url)
    rows = rows_of(tmp_path / "out", "vec")
    assert [row.status for row in rows[:20]] == ["ok"] * 20
    assert {row.status for row in rows[20:]} == {"repeated"}


def test_too_many_failures_stop_the_run_and_keep_what_was_paid_for(tars: Path, tmp_path: Path) -> None:
    with serving(lambda asked: Answer("")) as stub:
        with pytest.raises(UserError, match="too many samples failed"):
            run_stage(tars, tmp_path, VEC, stub.url, budget=Budget(20))
        asked = dict(stub.asked)
        run_stage(tars, tmp_path, VEC, stub.url)
        assert max(stub.asked.values()) == 1
        assert set(asked) <= set(stub.asked)


def test_a_busy_and_failing_server_changes_no_row(tars: Path, tmp_path: Path) -> None:
    with serving(good) as stub:
        run_stage(tars, tmp_path / "calm", VEC, stub.url)
    seen: dict[int, int] = {}

    def moody(asked: dict[str, Any]) -> Answer:
        n = number(asked)
        seen[n] = seen.get(n, 0) + 1
        troubles = (Answer(status=429, headers={"Retry-After": "0"}), Answer(status=500), Answer(drop=True))
        return troubles[n % 3] if seen[n] == 1 else good(asked)

    with serving(moody) as stub:
        counts = run_stage(tars, tmp_path / "moody", VEC, stub.url).counts
    assert counts.repeated >= counts.out
    assert as_set(rows_of(tmp_path / "moody", "vec")) == as_set(rows_of(tmp_path / "calm", "vec"))


def test_a_stalled_or_poisonous_request_is_set_aside_and_the_others_are_not(
    tars: Path, tmp_path: Path
) -> None:
    def answer(asked: dict[str, Any]) -> Answer | Awaitable[Answer]:
        text = prompt_of(asked)
        if "number 8 " in text:
            return asyncio.sleep(60, Answer("never"))
        if "number 9 " in text:
            return Answer(drop=True)
        if "number 12 " in text:
            return Answer(status=400)
        if "number 13 " in text:
            return Answer(status=500)
        return good(asked)

    with serving(answer) as stub:
        run_stage(tars, tmp_path, PLAIN, stub.url, engine={"timeout_s": 0.5})
    rows = {row.key: row for row in rows_of(tmp_path, "rewrite/plain")}
    codes = {key: row.status for key, row in rows.items() if row.status != "ok"}
    assert codes == {
        "k0-8": "request_timeout",
        "k0-9": "engine_died",
        "k0-12": "request_refused",
        "k0-13": "request_failed",
    }
    assert all(rows[key].fallback == "alttext" for key in codes)


def test_a_silent_server_stops_the_run_in_time(tars: Path, tmp_path: Path) -> None:
    from recaption_kit import QUICK

    assert QUICK.silence_s == 5.0
    with serving(lambda asked: Answer(status=429)) as stub, pytest.raises(UserError, match="not answered"):
        run_stage(tars, tmp_path, VEC, stub.url)


def test_a_server_that_is_not_there_is_named(tars: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"127\.0\.0\.1:9/v1/models failed"):
        run_stage(tars, tmp_path, VEC, "http://127.0.0.1:9/v1")
