"""The HTML page of `engine.inspect`: what it holds, what it does in a browser, what cannot run in it."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import AVAILABLE, REQUIRED, Browser
from build_corpus import build_dataset, jpeg, make_tars, run_command

from engine.errors import UserError
from engine.import_captions import main
from engine.page import PageCaption, PageSample, write_page
from engine.page.inputs import Choice, dataset_page, ledger_page
from engine.page.ledger import with_ledger
from engine.shards.reader import open_dataset

HOSTILE = [
    "<img src=x onerror=\"document.title='RAN'\">",
    "<script>document.title='RAN'</script>",
    "</script><script>document.title='RAN'</script>",
    "<!--<script>",
    "]]></script><svg onload=document.title='RAN'>",
    "@DATA@ @SCRIPT@",
    "javascript:document.title='RAN'",
    "a dog\u202e gnihtemos \u200band \U000e0041 more",
    "line\u2028separator\u2029 \\u003c/script>",
    "lone \ud800 surrogate",
    '{{7*7}} ${7*7} `',
    "",
]  # fmt: skip
SOURCES = ["alttext", "vec", "vecap", "rewrite/scene"]


def sample(at: int) -> PageSample:
    captions = [
        PageCaption("alttext", f"red boat number {at} Lisbon", 7, 0.2),
        PageCaption("vec", "A boat on a lake.", 6, 0.3),
    ]
    if at % 3:
        code = "ok" if at % 2 else "quotes_removed"
        made = {"model": "vicuna-13b", "seed": str(at)}
        captions.append(PageCaption("vecap", "A red boat and a dragon on a lake.", 10, 0.1, code, "", made))
    return PageSample(f"key-{at:04}", f"sample {at}", jpeg(at) if at % 50 else b"broken", tuple(captions))


def hostile_samples() -> list[PageSample]:
    rows = []
    for text in HOSTILE:
        captions = [PageCaption(source, text, code=text, details={text: text}) for source in (*SOURCES, text)]
        rows.append(PageSample(text or "empty", text, None, tuple(captions)))
    return rows


def data_of(page: Path) -> Any:
    found = re.search(r'id="data">(.*?)</script>', page.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    return json.loads(found[1])


def test_the_page_holds_every_sample_and_nothing_from_elsewhere(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    assert write_page(page, "A <b> & title", (sample(at) for at in range(100)), SOURCES) == 100
    data = data_of(page)
    assert [row["key"] for row in data["samples"]] == [f"key-{at:04}" for at in range(100)]
    assert data["samples"][1]["captions"][2]["details"] == {"model": "vicuna-13b", "seed": "1"}
    assert data["samples"][1]["image"].startswith("data:image/jpeg;base64,")
    assert (data["samples"][50]["image"], data["samples"][50]["state"]) == ("", "image cannot be decoded")
    text = page.read_text(encoding="utf-8")
    assert html.escape("A <b> & title") in text
    assert "<b>" not in text
    assert not re.search(r"(?:src|href)\s*=\s*[\"']?https?:", text)


def test_no_caption_leaves_its_block(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    write_page(page, "t", hostile_samples(), SOURCES)
    text = page.read_text(encoding="utf-8")
    assert text.count("</script>") == 2  # the data's and the page's own
    assert text.count("<script") == 2
    assert [row["captions"][0]["text"] for row in data_of(page)["samples"]] == HOSTILE


def test_the_command_writes_a_page_of_shards(tmp_path: Path) -> None:
    build_dataset(make_tars(tmp_path / "tars", tars=1), tmp_path / "out")
    result = run_command(
        "inspect", tmp_path / "out", "--html", tmp_path / "p.html", "--random", "--count", "4"
    )
    assert result.returncode == 0, result.stderr
    assert "p.html: 4 samples" in result.stdout
    assert len(data_of(tmp_path / "p.html")["samples"]) == 4
    missing = run_command("inspect", tmp_path / "tars", "--html", tmp_path / "p.html")
    assert missing.returncode == 1
    assert "holds no finished captions" in missing.stderr


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shards of ten samples, and a ledger with captions for two of them and for one that is not there."""
    folder = tmp_path_factory.mktemp("ledger")
    build_dataset(make_tars(folder / "tars", tars=1), folder / "shards")
    rows = [{"url": key, "caption": f"A gradient of {key}."} for key in ("k0-1", "k0-0", "nobody")]
    (folder / "a.json").write_text(json.dumps(rows))
    assert main(["vecap300m", str(folder / "a.json"), "--out", str(folder / "ledger")]) == 0
    return folder


def test_a_ledger_stands_beside_the_samples(folders: Path, tmp_path: Path) -> None:
    page = tmp_path / "p.html"
    assert dataset_page(page, open_dataset(folders / "shards"), [folders / "ledger"], Choice()) > 2
    data = data_of(page)
    assert data["sources"] == ["alttext", "vecap"]
    captions = {row["key"]: row["captions"] for row in data["samples"]}
    assert [caption["source"] for caption in captions["k0-0"]] == ["alttext", "vecap"]
    added = captions["k0-0"][1]
    assert (added["text"], added["code"], added["details"]["model"]) == (
        "A gradient of k0-0.",
        "ok",
        "vecap300m",
    )
    assert "nobody" not in captions
    assert [caption["source"] for caption in captions["k0-2"]] == ["alttext"]


def test_a_ledger_alone_makes_a_page(folders: Path, tmp_path: Path) -> None:
    page = tmp_path / "p.html"
    assert ledger_page(page, [folders / "ledger"], Choice()) == 3
    assert [row["key"] for row in data_of(page)["samples"]] == ["k0-1", "k0-0", "nobody"]
    assert ledger_page(page, [folders / "ledger"], Choice(keys=["nobody"])) == 1
    assert data_of(page)["samples"][0]["state"] == "no image"
    with pytest.raises(UserError, match=r"no row of .* has this key"):
        ledger_page(page, [folders / "ledger"], Choice(keys=["who"]))


def test_an_equal_caption_is_shown_once_with_what_both_know() -> None:
    own = PageSample("k", "", None, (PageCaption("vecap", "A dog.", 4, 0.5), PageCaption("alttext", "dog")))
    row = PageCaption("vecap", "A dog.", code="ok", details={"seed": "1"})
    other = PageCaption("vecap", "A cat.", code="loop")
    (merged,) = with_ledger([own], {"k": [row, other]})
    expected = PageCaption("vecap", "A dog.", 4, 0.5, "ok", "", {"seed": "1"})
    assert merged.captions == (expected, own.captions[1], other)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if not AVAILABLE and not REQUIRED:
        pytest.skip("chromium and chromedriver are not installed: scripts/setup.sh browser installs them")
    assert AVAILABLE, "VECLIP_REQUIRE_BROWSER is set, and chromium or chromedriver are not installed"
    with Browser() as found:
        yield found


def change(browser: Browser, name: str, value: str) -> None:
    browser.run(
        f"const e = document.getElementById({json.dumps(name)}); e.value = {json.dumps(value)};"
        "e.dispatchEvent(new Event('input', {bubbles: true}));"
    )


def keys(browser: Browser) -> list[str]:
    found: list[str] = browser.run(
        "return [...document.querySelectorAll('.key')].map(e => e.textContent.toWellFormed())"
    )
    return found


def test_a_browser_renders_filters_and_pages(browser: Browser, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    write_page(page, "boats", (sample(at) for at in range(2000)), SOURCES)
    browser.open(page)
    assert browser.log() == []
    assert keys(browser) == [f"key-{at:04}" for at in range(24)]
    assert browser.run("return document.querySelector('.picture img') === null") is False
    assert browser.run("return document.images.length") == 23
    # The others are loaded when they come into view.
    assert browser.run("return document.images[0].decode().then(() => document.images[0].naturalWidth)") >= 48
    browser.run("document.getElementById('next').click()")
    assert keys(browser)[0] == "key-0024"
    change(browser, "search", "number 1999")
    assert keys(browser) == ["key-1999"]
    assert browser.run("return document.getElementById('count').textContent") == "1 of 2,000 samples"
    change(browser, "search", "")
    change(browser, "code", "quotes_removed")
    assert keys(browser)[:3] == ["key-0002", "key-0004", "key-0008"]
    change(browser, "code", "")
    change(browser, "only", "noimage")
    assert keys(browser)[:3] == ["key-0000", "key-0050", "key-0100"]
    change(browser, "only", "")
    change(browser, "source", "vecap")
    change(browser, "least", "9")
    assert keys(browser)[:2] == ["key-0001", "key-0002"]
    change(browser, "least", "10")
    assert keys(browser) == []
    assert browser.run("return document.getElementById('nothing').hidden") is False


def plotted(browser: Browser, at: int) -> dict[str, str]:
    """Names and numbers of one plot with bars."""
    plot = f"document.querySelectorAll('figure')[{at}]"
    texts = browser.run(f"return [...{plot}.querySelectorAll('text')].map(e => e.textContent)")
    return dict(zip(texts[::2], texts[1::2], strict=True))


def test_words_are_coloured_by_where_they_come_from(browser: Browser, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    write_page(page, "boats", [sample(1)], SOURCES)
    browser.open(page)
    marks = browser.run(
        "return [...document.querySelectorAll('.text mark')].map(e => [e.className, e.textContent])"
    )
    assert marks == [
        ["lost", "number"], ["lost", "1"], ["lost", "Lisbon"],
        ["alttext", "red"], ["both", "boat"], ["added", "dragon"], ["vec", "lake"],
    ]  # fmt: skip
    assert (
        browser.run("return [...document.querySelectorAll('.captions h2')].at(-1).textContent")
        == "rewrite/scenenone"
    )
    browser.run("document.getElementById('statistics').open = true")
    browser.run("return new Promise(done => setTimeout(done, 100))")
    titles = browser.run(
        "return [...document.querySelectorAll('figcaption')].map(e => e.textContent.toWellFormed())"
    )
    assert titles[:4] == [
        "captions by source",
        *(f"distinct {n}-grams, % (first 1 captions of each)" for n in (1, 2, 3)),
    ]
    assert titles[4:6] == ["words of vecap", "words of the inputs that vecap keeps, %"]
    assert plotted(browser, 4) == {"from both": "1", "from AltText": "1", "from VeC": "1", "in neither": "1"}
    assert plotted(browser, 5) == {"kept of alttext": "40", "kept of vec": "100"}
    assert plotted(browser, 1) == {"alttext": "100", "vec": "80", "vecap": "77.8"}
    assert "vecap, words: 1 captions, mean 9.0" in titles
    assert "vecap, codes" in titles


def test_no_script_from_a_caption_runs(browser: Browser, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    write_page(page, "safe", hostile_samples(), [*SOURCES, *HOSTILE])
    browser.open(page)
    assert browser.log() == []
    assert len(keys(browser)) == len(HOSTILE)
    browser.run("document.getElementById('statistics').open = true")
    browser.run(
        f"for (const value of [...{json.dumps(HOSTILE)}, '']) for (const name of ['search', 'source']) {{"
        "  const e = document.getElementById(name); e.value = value;"
        "  e.dispatchEvent(new Event('input', {bubbles: true}));"
        "}"
    )
    browser.run("return new Promise(done => setTimeout(done, 200))")
    assert browser.run("return document.title") == "safe"
    assert (
        browser.run("return document.querySelectorAll('article script, article img, article svg').length")
        == 0
    )
    assert browser.run("return document.scripts.length") == 2
    shown = browser.run(
        "return [...document.querySelectorAll('.caption .text')].map(e => e.textContent.toWellFormed())"
    )
    assert HOSTILE[1] in shown
    assert any("U+202E" in text and "U+E0041" in text for text in shown)


def test_the_policy_stops_what_escaping_would_not(browser: Browser, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    write_page(page, "safe", [sample(1)], SOURCES)
    text = page.read_text(encoding="utf-8")
    attack = "<img src=x onerror=\"document.title='RAN'\"><script>document.title='RAN'</script>"
    page.write_text(text.replace("</main>", attack + "</main>"), encoding="utf-8")
    browser.open(page)
    browser.run("return new Promise(done => setTimeout(done, 200))")
    assert browser.run("return document.title") == "safe"
    assert any("Content Security Policy" in message for message in browser.log())
