"""Patterns, URLs, selectors and the shared command line arguments."""

from __future__ import annotations

import argparse
import http.server
import pickle
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import fsspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sources_kit import JPEG, codes, pairs, read_all, tar_bytes, texts

from engine.errors import UserError
from engine.sources import SourceOptions
from engine.sources.cli import FORMAT_NAMES, add_source_arguments, source_options
from engine.sources.detect import FORMATS
from engine.sources.expand import expand_braces, expand_inputs
from engine.sources.selectors import MISSING, parse_selector, parse_term


@pytest.mark.parametrize(
    "pattern", ["{00..11}.tar", "a{b,c}d{1..3}", "{3..1}", "x{a,b{1,2}}y", "plain", "{007..010}"]
)
def test_braces_as_bash_expands_them(pattern: str) -> None:
    shell = subprocess.run(
        ["bash", "-c", f"printf '%s\\n' {pattern}"], capture_output=True, text=True, check=True
    )
    assert list(dict.fromkeys(expand_braces(pattern))) == shell.stdout.split()


def test_globs_and_missing_files(tmp_path: Path) -> None:
    for name in ("b.tar", "a.tar", "c.txt"):
        (tmp_path / name).write_bytes(tar_bytes(pairs(1)))
    assert expand_inputs([f"{tmp_path}/*.tar"]) == [f"{tmp_path}/a.tar", f"{tmp_path}/b.tar"]
    for wrong in (f"{tmp_path}/{{a,x}}.tar", f"{tmp_path}/*.zip"):
        with pytest.raises(UserError, match="no such file or folder"):
            expand_inputs([wrong])
    with pytest.raises(UserError, match="at most 1,000,000"):
        expand_inputs(["{0..99999999}"])


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path))) as httpd:
        thread = threading.Thread(target=httpd.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{httpd.server_address[1]}"
        httpd.shutdown()
        thread.join()


def test_http(tmp_path: Path, server: str) -> None:
    for shard in range(2):
        (tmp_path / f"{shard:05}.tar").write_bytes(tar_bytes(pairs(3)))
    found = read_all(server + "/{00000..00001}.tar")
    assert codes(found) == ["record"] * 6
    with pytest.raises(UserError, match="cannot be opened"):
        read_all(f"{server}/none.tar")


def test_memory_urls() -> None:
    memory = fsspec.filesystem("memory")
    memory.pipe("/set/a.tar", tar_bytes(pairs(2)))
    memory.pipe("/set/b.tar", tar_bytes(pairs(2)))
    assert codes(read_all("memory://set/*.tar")) == codes(read_all("memory://set")) == ["record"] * 4
    memory.pipe("/table/images/a.jpg", JPEG)
    memory.pipe("/table/t.csv", b"image,caption\na.jpg,x\n../set/a.tar,y\nb.jpg,z\n")
    found = read_all("memory://table")
    assert codes(found) == ["record", "unsafe_path", "image_missing"]
    assert texts(found[0]) == ["x"]


def test_missing_backends_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(UserError, match="pip install s3fs"):
        read_all("s3://bucket/a.tar")
    with pytest.raises(UserError, match="expected a path or an fsspec URL"):
        read_all("nope://bucket/a.tar")


@given(
    st.builds(
        lambda f, p, i: f + (f":{p}" if p else "") + (f"[{i}]" if i else ""),
        st.sampled_from(["txt", "syn.json", "alt text", "rewrite/x"]),
        st.sampled_from(["", "a", "a.b"]),
        st.sampled_from(["", "0", "-1", "1:", ":2", "1:-1", ":"]),
    )
)
def test_selectors_print_and_pickle_as_they_read(text: str) -> None:
    term = parse_term(text)
    assert str(term) == text
    assert pickle.loads(pickle.dumps(term)) == term


@pytest.mark.parametrize("text", ["", "a[", "a[]", "a[x]", ":b", "a|", "a[1:2:3]"])
def test_wrong_selectors(text: str) -> None:
    with pytest.raises(UserError, match="expected FIELD"):
        parse_selector(text)


def test_selectors_find_as_python_does() -> None:
    fields = {"c": ["a", "b", "c"], "one": "x", "json": {"k": {"l": 3}}, "none": None}
    for index, value in {"0": "a", "-1": "c", "1:": ["b", "c"], ":": ["a", "b", "c"], "5:": []}.items():
        assert parse_selector(f"c[{index}]").find(fields) == value
    assert parse_selector("c[7]").find(fields) is MISSING
    assert parse_selector("none|gone|json:k.l").find(fields) == 3
    assert parse_selector("json:k.l.m").find(fields) is MISSING
    assert parse_selector("one[0]").find(fields) == "x"


def test_command_line_arguments() -> None:
    parser = argparse.ArgumentParser()
    add_source_arguments(parser)
    assert source_options(parser.parse_args(["x"])) == SourceOptions(("x",))
    args = parser.parse_args(
        ["a", "b", "--caption", "alttext=txt", "--caption", "vec=json:a=b", "--score", "vec=s"]
    )
    options = source_options(args)
    assert options.captions == {"alttext": "txt", "vec": "json:a=b"}
    assert options.scores == {"vec": "s"}
    for wrong in (["--caption", "txt"], ["--caption", "a=b", "--caption", "a=c"], ["--score", "=x"]):
        with pytest.raises(UserError, match=r"NAME=FIELD|twice"):
            source_options(parser.parse_args(["x", *wrong]))
    assert tuple(FORMATS) == FORMAT_NAMES
