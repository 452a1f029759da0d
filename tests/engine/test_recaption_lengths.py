"""Prompts that do not fit the model: AltText is cut at a border, what still does not fit gets a code."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from build_corpus import jpeg, write_tar
from recaption_kit import PLAIN, VEC, VECAP, rows_of, run_stage
from stub_server import good, serving

from benchmarks.answering_server import Answer, prompt_of
from engine.captions.ledger import LedgerRow
from engine.recap.host import close_hosts

LONG = "A red boat lies on the lake. " * 20
TEXTS = {"short": "A red boat.", "long": LONG, "words": "boat " * 150, "one word": "b" * 700}
LIMIT = 1500  # bytes of a prompt and tokens of its answer


@pytest.fixture(scope="module")
def tars(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tars")
    write_tar(folder / "0.tar", [(key, jpeg(at), text) for at, (key, text) in enumerate(TEXTS.items())])
    return folder


@pytest.fixture(autouse=True)
def _no_engine_stays() -> Iterator[None]:
    yield
    close_hosts()


def size(asked: dict[str, Any]) -> int:
    return len(prompt_of(asked).encode())


def strict(asked: dict[str, Any], limit: int = LIMIT) -> Answer:
    """Answers like vLLM's server where the prompt is too long."""
    if size(asked) + asked["max_tokens"] <= limit:
        return good(asked)
    text = f"This model's maximum context length is {limit} tokens. However, ... Please reduce the length"
    return Answer(status=400, raw=json.dumps({"error": {"message": text}}).encode())


def counting(path: str, asked: dict[str, Any]) -> Answer:
    if path != "/tokenize":
        return Answer(status=404)
    return Answer(raw=json.dumps({"count": size(asked)}).encode())


def vecap(tars: Path, folder: Path, **server: Any) -> tuple[dict[str, LedgerRow], list[dict[str, Any]]]:
    """VeCap by a server with a limit: rows, and what it was asked."""
    with serving(good) as stub:
        run_stage(tars, folder, VEC, stub.url)
    close_hosts()
    with serving(strict, **server) as stub:
        # In the engine's own count nothing is too long.
        run_stage(tars, folder, VECAP, stub.url, prompt_tokens=4000)
    return {row.key: row for row in rows_of(folder, "vecap")}, stub.bodies


def alttext_in(asked: dict[str, Any]) -> str:
    return prompt_of(asked).split("web text: <")[1].split(">")[1].split("<")[0]


def test_a_server_that_counts_is_sent_nothing_too_long(tars: Path, tmp_path: Path) -> None:
    rows, bodies = vecap(tars, tmp_path, limit=LIMIT, elsewhere=counting)
    assert {(row.status, row.fallback) for row in rows.values()} == {("ok", "")}
    assert {key for key, row in rows.items() if row.alttext_cut} == set(TEXTS) - {"short"}
    assert len(bodies) == len(TEXTS)
    assert all(size(body) + body["max_tokens"] <= LIMIT for body in bodies)
    sentence, short, word, words = sorted(map(alttext_in, bodies))
    assert short == TEXTS["short"]
    assert LONG.startswith(sentence)
    assert sentence.endswith("lake.")
    assert words.endswith(" boat")
    # No more than a border less than what fits.
    for text, border in ((sentence, len(LONG) // 20), (words, 5), (word, 3)):
        body = next(body for body in bodies if alttext_in(body) == text)
        assert size(body) + body["max_tokens"] > LIMIT - border - 8


def test_a_server_that_only_refuses_is_asked_with_less(tars: Path, tmp_path: Path) -> None:
    rows, bodies = vecap(tars, tmp_path)
    assert {(row.status, row.fallback) for row in rows.values()} == {("ok", "")}
    assert {key for key, row in rows.items() if row.alttext_cut} == set(TEXTS) - {"short"}
    assert {row.attempts for row in rows.values()} == {1}
    assert len(bodies) > len(TEXTS)


@pytest.mark.parametrize("server", [{}, {"limit": 700, "elsewhere": counting}], ids=["refuses", "counts"])
def test_what_does_not_fit_at_all_has_a_code_and_fails_no_one(
    tars: Path, tmp_path: Path, server: dict[str, Any]
) -> None:
    with serving(good) as stub:
        run_stage(tars, tmp_path, VEC, stub.url)
    close_hosts()
    with serving(lambda asked: strict(asked, 700), **server) as stub:
        counts = run_stage(tars, tmp_path, VECAP, stub.url).counts
    rows = rows_of(tmp_path, "vecap")
    assert {(row.status, row.fallback, row.attempts) for row in rows} == {("prompt_too_long", "vec", 0)}
    assert counts.status == {"prompt_too_long": len(TEXTS)} == {"prompt_too_long": counts.out}
    assert counts.asked == 0


def test_rewrites_are_cut_too(tars: Path, tmp_path: Path) -> None:
    with serving(lambda asked: strict(asked, 1300), limit=1300, elsewhere=counting) as stub:
        run_stage(tars, tmp_path, PLAIN, stub.url, prompt_tokens=4000)
    rows = rows_of(tmp_path, PLAIN.source)
    assert {row.status for row in rows} == {"ok"}
    assert sum(row.alttext_cut for row in rows) >= 1
