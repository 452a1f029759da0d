"""Every code through the whole engine: seen, tried again with other seeds, replaced by the right fallback."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from build_corpus import jpeg, write_tar
from recaption_kit import PLAIN, VEC, VECAP, rows_of, run_stage
from stub_server import good, serving

from benchmarks.answering_server import Answer, prompt_of
from engine.captions.status import CAPTION_STATUS, FAILED_STATUS, REPAIRED_STATUS
from engine.recap.captioner import MOST_RETRIES
from engine.recap.codes import status_meaning
from engine.recap.host import close_hosts
from engine.recap.report import counts_table

# What a model says of a sample whose AltText is about the code; "{mark}" is the prompt's own.
SAID = {
    "empty": Answer("..."),
    "not_text": Answer("A tower \ud800 near the river"),
    "runaway": Answer("A tower and " * 300),
    "cut_off": Answer("A tower that stands near the", "length"),
    "refusal": Answer("I am sorry that I cannot rephrase this."),
    "one_word": Answer("Tower"),
    "several_lines": Answer("A tower stands.\nIt is tall."),
    "list": Answer("- a tower\n- a river"),
    "image_start": Answer("The image is blurry."),
    "prompt_echo": Answer("Rephrase the following two sentences into one short sentence: a tower."),
    "mark_leak": Answer("A tower {mark} near the river"),
    "loop": Answer("a tower tower tower tower stands near"),
    "url": Answer("A tower, more at www.towers.example/buy"),
    "email": Answer("A tower, write to me@towers.example"),
    "wrong_language": Answer("Ein Turm steht mit einem Boot an dem Fluss und der Stadt"),
    "ungrounded": Answer("Buy cheap watches in our shop today."),
    "characters_removed": Answer("A to\u200bwer near the river"),
    "preface_removed": Answer("Sure, here is the caption: A tower near the river"),
    "quotes_removed": Answer('"A tower near the river"'),
    "bullet_removed": Answer("- A tower near the river"),
    "lines_joined": Answer("A tower near\nthe river"),
    "image_start_removed": Answer("The image shows a tower near the river"),
}


def saying(asked: dict[str, Any]) -> Answer:
    """What the code in the AltText wants, however often it is asked; all is well without AltText."""
    prompt = prompt_of(asked)
    code = re.search(r"code (\w+) of the sign", prompt)
    if code is None:
        if "description: <" in prompt:
            return Answer(json.dumps({"caption": "A tall tower stands near a river."}))
        return Answer(f"A tall tower near a river with {asked['seed'] % 9999} trees.")
    answer = SAID[code[1]]
    mark = re.search(r"between the marks <(\w+)>", prompt)
    return Answer(answer.text.replace("{mark}", mark[1] if mark else ""), answer.finish_reason)


@pytest.fixture(autouse=True)
def _no_engine_stays() -> Iterator[None]:
    yield
    close_hosts()


@pytest.fixture(scope="module")
def tars(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tars")
    rows = [(code, jpeg(at), f"code {code} of the sign") for at, code in enumerate(SAID)]
    write_tar(folder / "0.tar", rows)
    return folder


def test_every_code_is_seen_tried_again_and_replaced(tars: Path, tmp_path: Path) -> None:
    assert set(SAID) == set(CAPTION_STATUS) - {"ok", "repeated"}
    with serving(saying) as stub:
        run_stage(tars, tmp_path, VEC, stub.url)
        stub.bodies.clear()
        counts = run_stage(tars, tmp_path, VECAP, stub.url).counts
    seeds = defaultdict(list)
    for body in stub.bodies:
        if code := re.search(r"code (\w+) of the sign", prompt_of(body)):
            seeds[code[1]].append(body["seed"])
    for row in rows_of(tmp_path, "vecap"):
        code = row.key
        assert row.status == code
        if code in REPAIRED_STATUS:
            assert (row.fallback, row.attempts) == ("", 1)
            assert str(row.text).lower().startswith("a tower near the river")
            continue
        retries = MOST_RETRIES if FAILED_STATUS[code].retry else 0
        assert (row.fallback, row.text) == ("vec_alone", "A tall tower stands near a river.")
        assert row.attempts == 1 + retries + 1
        assert len(set(seeds[code])) == len(seeds[code]) == 1 + retries
    assert set(counts.status) == set(SAID)
    for code, answers in counts.answers.items():
        assert answers == (len(FAILED_STATUS) - 1 if code == "ok" else len(seeds[code]))


def test_the_summary_has_a_rate_for_every_code(tars: Path, tmp_path: Path) -> None:
    with serving(saying) as stub:
        run_stage(tars, tmp_path, VEC, stub.url)
        counts = run_stage(tars, tmp_path, VECAP, stub.url).counts
    table = counts_table(counts)
    for code, rows in counts.status.items():
        assert f"{code} " in table
        assert status_meaning(code) in table
        assert re.search(rf"\b{code} +{rows} \({100 * rows / len(SAID):.1f} %\)", table), code


def test_the_chain_ends_in_vec_and_then_in_alttext(tars: Path, tmp_path: Path) -> None:
    with serving(good) as stub:
        run_stage(tars, tmp_path / "vec", VEC, stub.url)
    with serving(lambda asked: Answer("")) as stub:
        vecap = tmp_path / "vec"
        run_stage(tars, vecap, VECAP, stub.url)
        run_stage(tars, tmp_path / "alone", VECAP, stub.url)  # no VeC anywhere
        run_stage(tars, tmp_path / "alone", PLAIN, stub.url)
    vec = {row.key: row.text for row in rows_of(vecap, "vec")}
    assert {row.key: row.text for row in rows_of(vecap, "vecap")} == vec
    for source, status in (("vecap", "no_vec"), ("rewrite/plain", "empty")):
        for row in rows_of(tmp_path / "alone", source):
            assert (row.status, row.fallback) == (status, "alttext")
            assert row.text == f"code {row.key} of the sign"


def test_alttext_is_cut_and_vec_kept_whole(tmp_path: Path) -> None:
    long = "A very long story about a tower. " * 200
    write_tar(tmp_path / "0.tar", [("long", jpeg(1), long), ("short", jpeg(2), "A tower.")])
    with serving(good) as stub:
        run_stage(tmp_path, tmp_path / "out", VEC, stub.url)
        run_stage(tmp_path, tmp_path / "out", VECAP, stub.url, prompt_tokens=100)
        prompts = [prompt_of(body) for body in stub.bodies]
    vec = {row.key: str(row.text) for row in rows_of(tmp_path / "out", "vec")}
    rows = {row.key: row for row in rows_of(tmp_path / "out", "vecap")}
    assert (rows["long"].alttext_cut, rows["short"].alttext_cut) == (True, False)
    (cut,) = [prompt for prompt in prompts if "very long story" in prompt]
    assert vec["long"] in cut
    assert 3 < cut.count("very long story") < 15
    assert "tower.</" in cut  # at the end of a sentence


def test_a_greedy_run_does_not_ask_the_same_again(tars: Path, tmp_path: Path) -> None:
    from engine.recap.requests import Sampling

    with serving(lambda asked: Answer("")) as stub:
        run_stage(tars, tmp_path, VEC, stub.url, sampling=Sampling(0.0, 1.0, 20))
    assert {row.attempts for row in rows_of(tmp_path, "vec")} == {1}
