"""Importers: small files in the layouts that were released, and what is wrong with real ones."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from build_corpus import build_dataset, make_tars, run_command
from hypothesis import given
from hypothesis import strategies as st

from engine.captions.ledger import open_ledger, read_rows
from engine.import_captions import RELEASE_NAMES, main
from engine.imports.releases import RELEASES
from engine.imports.rows import read_json
from engine.imports.run import Plan, import_rows
from engine.imports.seen import SeenKeys

URLS = [f"https://example.org/{at}.jpg" for at in range(4)]
TEXTS = [f"A red boat number {at}." for at in range(4)]
Files = list[str]


def vecap300m(folder: Path) -> Files:
    rows = [{"url": url, "caption": text} for url, text in zip(URLS, TEXTS, strict=True)]
    (folder / "wit_300m-00-of-10.json").write_text(json.dumps(rows[:2]))
    (folder / "wit_300m-01-of-10.json").write_text("\n".join(map(json.dumps, rows[2:])))
    return [str(folder / f"wit_300m-0{n}-of-10.json") for n in range(2)]


def vecap300m_as_a_map(folder: Path) -> Files:
    (folder / "map.json").write_text(json.dumps(dict(zip(URLS, TEXTS, strict=True)), indent=1))
    return [str(folder / "map.json")]


def capsfusion(folder: Path) -> Files:
    table = {"image_url": URLS, "laion_2b": ["boat"] * 4, "laion_coco": ["a boat"] * 4, "capsfusion": TEXTS}
    pq.write_table(pa.table(table), folder / "capsfusion_1.parquet")
    return [str(folder / "capsfusion_1.parquet")]


def recap(folder: Path) -> Files:
    table = {
        "url": URLS,
        "re_caption": TEXTS,
        "org_caption": ["x"] * 4,
        "sha256": ["0"] * 4,
        "key": list("abcd"),
    }
    pq.write_table(pa.table(table), folder / "train.parquet")
    return [str(folder / "train.parquet")]


def laclip(folder: Path) -> Files:
    rows = [f"{url},some caption" for url in URLS]
    (folder / "cc3m.csv").write_text("\n".join(["image_path,caption", *rows]) + "\n")
    (folder / "chatgpt.txt").write_text("\n".join(TEXTS) + "\n")
    (folder / "bard.txt").write_text("\n".join(TEXTS))
    lines = [f"--lines={name}={folder / name}.txt" for name in ("chatgpt", "bard")]
    return [str(folder / "cc3m.csv"), *lines]


def datacompdr(folder: Path) -> Files:
    with tarfile.open(folder / "00000.tar", "w") as tar:
        for at, text in enumerate(TEXTS):
            members = {
                "url.txt": URLS[at].encode(), "txt": b"alt", "paug.json": b"{}", "npz": b"\0" * 10,
                "json": json.dumps({"uid": f"{at:032}"}).encode(),
                "syn.json": json.dumps({"syn_text": [text] * 5}).encode(),
            }  # fmt: skip
            for field, data in members.items():
                info = tarfile.TarInfo(f"shard/{at:08}.{field}")
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    return [str(folder / "00000.tar"), "--key", "url"]


def dreamlip(folder: Path) -> Files:
    names = ["shortIB", "longIB", "shortSV", "longSV", "shortLLA", "longLLA"]
    head = ["Image Path", "raw_caption", *(f"{name}_captions" for name in names)]
    rows = [[url, "raw", *[f'"{text}"'] * 6] for url, text in zip(URLS, TEXTS, strict=True)]
    (folder / "cc3m.csv").write_text("\n".join(",".join(row) for row in [head, *rows]))
    return [str(folder / "cc3m.csv")]


LAYOUTS: list[tuple[str, Callable[[Path], Files], list[str]]] = [
    ("vecap300m", vecap300m, ["vecap"]),
    ("vecap300m", vecap300m_as_a_map, ["vecap"]),
    ("capsfusion", capsfusion, ["capsfusion", "laion_coco"]),
    ("recap", recap, ["recap"]),
    ("laclip", laclip, ["rewrite/bard", "rewrite/chatgpt"]),
    ("datacompdr", datacompdr, [f"datacompdr/{n}" for n in range(5)]),
    (
        "dreamlip",
        dreamlip,
        sorted(f"dreamlip/{size}{by}" for size in ("short", "long") for by in ("IB", "SV", "LLA")),
    ),
]


@pytest.mark.parametrize(
    ("release", "make", "sources"), LAYOUTS, ids=[make.__name__ for _, make, _ in LAYOUTS]
)
def test_a_released_layout_comes_into_the_ledger(
    release: str, make: Callable[[Path], Files], sources: list[str], tmp_path: Path
) -> None:
    out = tmp_path / "ledger"
    assert main([release, *make(tmp_path), "--out", str(out)]) == 0
    found = open_ledger(out)
    assert [source.name for source in found] == sources
    for source in found:
        rows = [row for part in source.parts for row in read_rows(part)]
        assert [row.key for row in rows] == URLS
        assert [row.text for row in rows] == (["a boat"] * 4 if source.name == "laion_coco" else TEXTS)
        assert {(row.model, row.source, row.status) for row in rows} == {(release, source.name, "ok")}
        counts = source.metadata["counts"]
        assert counts["in"] == counts["out"] + counts["duplicates"] + counts["rejected"] == source.rows


def test_every_release_has_a_layout() -> None:
    assert set(RELEASES) == set(RELEASE_NAMES) == {release for release, _, _ in LAYOUTS}


def test_duplicates_and_bad_rows_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows: list[Any] = [
        {"url": "u1", "caption": "A dog."}, {"url": "u1", "caption": "A cat."}, {"url": "u2", "caption": " "},
        {"url": "u3", "caption": None}, {"url": "", "caption": "A cow."}, {"caption": "A pig."},
        {"url": "u4", "caption": "nul \0"}, {"url": 5, "caption": "A hen."}, "what",
        {"url": "u5", "caption": "A fox."},
    ]  # fmt: skip
    (tmp_path / "a.json").write_text(json.dumps(rows))
    assert main(["vecap300m", str(tmp_path / "a.json"), "--out", str(tmp_path / "ledger")]) == 0
    (source,) = open_ledger(tmp_path / "ledger")
    assert [(row.key, row.text) for part in source.parts for row in read_rows(part)] == [
        ("u1", "A dog."),
        ("u5", "A fox."),
    ]
    assert source.metadata["counts"] == {
        "in": 10, "out": 2, "duplicates": 1, "rejected": 7,
        "rejected_by_code": {"caption_empty": 1, "caption_not_text": 1, "bad_key": 4, "caption_nul": 1},
    }  # fmt: skip
    rejects = pq.read_table(tmp_path / "ledger/vecap/rejects.parquet").to_pylist()
    assert [int(row["where"].rsplit(" ", 1)[1]) for row in rejects] == [2, 3, 4, 5, 6, 7, 8, 1]
    assert rejects[-1]["code"] == "duplicate_key"
    assert "2  captions of 10 rows, 1 duplicates, 7 rejected, bad_key 4" in capsys.readouterr().out


def test_lines_that_do_not_belong_together_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = laclip(tmp_path)
    (tmp_path / "bard.txt").write_text("\n".join(TEXTS[:3]))
    assert main(["laclip", *files, "--out", str(tmp_path / "ledger")]) == 1
    assert "3 lines, but" in capsys.readouterr().err
    with pytest.raises(Exception, match="holds no finished captions"):
        open_ledger(tmp_path / "ledger")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('[{"url": "u", "caption": "a"}', "ends in the middle"),
        ('[{"url": "u", "capt', "is no JSON"),
        ('{"http://a": "b"', "ends in the middle"),
        ('[{"link_": "u", "caption": "a"}]', "no column for the key"),
        ('[{"url": "u", "words": "a"}]', "no column with captions"),
        ("", "no column for the key"),
        ("[" * 5000, "is no JSON"),
    ],
)
def test_broken_files_are_told(
    content: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.json").write_text(content)
    assert main(["vecap300m", str(tmp_path / "a.json"), "--out", str(tmp_path / "ledger")]) == 1
    assert message in capsys.readouterr().err
    assert not list(tmp_path.glob("ledger/**/ledger.json"))


def state(ledger: Path) -> dict[Path, tuple[int, bytes]]:
    return {
        path: (path.stat().st_mtime_ns, path.read_bytes()) for path in ledger.rglob("*") if path.is_file()
    }


def test_a_second_run_has_nothing_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["capsfusion", *capsfusion(tmp_path), "--out", str(tmp_path / "ledger")]
    assert main(arguments) == 0
    first = state(tmp_path / "ledger")
    assert not list(tmp_path.glob("ledger/**/.state"))
    assert main(arguments) == 0
    assert state(tmp_path / "ledger") == first
    assert capsys.readouterr().out.count("imported before") == 2


def test_a_source_is_never_imported_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["capsfusion", *capsfusion(tmp_path), "--out", str(tmp_path / "ledger")]
    assert main(arguments) == 0
    first = state(tmp_path / "ledger")
    rows = {"image_url": URLS[:2], "laion_coco": ["a boat"] * 2, "capsfusion": TEXTS[:2]}
    pq.write_table(pa.table(rows), tmp_path / "capsfusion_1.parquet")
    assert main(arguments) == 1
    assert "has capsfusion already, from other files" in capsys.readouterr().err
    assert state(tmp_path / "ledger") == first


def stopped(files: Iterable[Any], after: int) -> Iterator[Any]:
    """The files as they come until somebody presses Ctrl-C in the middle of one."""

    def broken(rows: Iterator[Any]) -> Iterator[Any]:
        yield next(rows)
        raise KeyboardInterrupt

    for at, (where, rows) in enumerate(files):
        yield where, rows if at < after else broken(rows)


@pytest.mark.parametrize("after", [0, 1])
def test_a_stopped_run_leaves_nothing_that_a_next_one_stumbles_over(tmp_path: Path, after: int) -> None:
    plan = Plan("vecap300m", "url", {"vecap": "caption", "other": "caption"})
    rows = [{"url": url, "caption": text} for url, text in zip(URLS, TEXTS, strict=True)]
    files = [("a", rows[:2]), ("b", rows[2:])]

    def opened(some: Iterable[Any]) -> Iterator[Any]:
        return ((where, iter(listed)) for where, listed in some)

    with pytest.raises(KeyboardInterrupt):
        import_rows(stopped(opened(files), after), plan, tmp_path / "ledger")
    assert not list(tmp_path.glob("ledger/**/ledger.json"))
    assert not list(tmp_path.glob("ledger/**/*.tmp"))
    import_rows(opened([("all", rows)]), plan, tmp_path / "ledger")
    import_rows(opened([("all", rows)]), plan, tmp_path / "calm")
    content = [
        {path.relative_to(tmp_path / name): data for path, (_, data) in state(tmp_path / name).items()}
        for name in ("ledger", "calm")
    ]
    assert content[0] == content[1]


def test_a_run_stopped_between_two_sources_makes_the_other_one(tmp_path: Path) -> None:
    arguments = ["capsfusion", *capsfusion(tmp_path), "--out", str(tmp_path / "ledger")]
    assert main(arguments) == 0
    first = state(tmp_path / "ledger")
    (tmp_path / "ledger/laion_coco/ledger.json").unlink()
    assert main(arguments) == 0
    second = state(tmp_path / "ledger")
    assert {path: data for path, (_, data) in first.items()} == {p: data for p, (_, data) in second.items()}
    kept = [path for path in first if "capsfusion" in path.parts]
    assert [first[path] for path in kept] == [second[path] for path in kept]


def test_a_table_without_a_header_is_read_by_place(tmp_path: Path) -> None:
    """As LaCLIP's own reader does: the first column is the image, the second its caption."""
    (tmp_path / "cc3m.csv").write_text("".join(f'train/{at}.jpg,"a, b"\n' for at in range(4)))
    (tmp_path / "chatgpt.txt").write_text("\n".join(TEXTS))
    lines = f"chatgpt={tmp_path / 'chatgpt.txt'}"
    out = tmp_path / "ledger"
    assert main(["laclip", str(tmp_path / "cc3m.csv"), "--lines", lines, "--out", str(out)]) == 0
    rows = [row for part in open_ledger(out)[0].parts for row in read_rows(part)]
    assert [(row.key, row.text) for row in rows] == [(f"train/{at}.jpg", TEXTS[at]) for at in range(4)]


def test_coverage_against_a_dataset(tmp_path: Path) -> None:
    build_dataset(make_tars(tmp_path / "tars", tars=1), tmp_path / "shards")
    keys = ["k0-0", "k0-1", "nobody"]
    (tmp_path / "a.json").write_text(json.dumps([{"url": key, "caption": "A dog."} for key in keys]))
    result = run_command(
        "import_captions",
        "vecap300m",
        tmp_path / "a.json",
        "--out",
        tmp_path / "ledger",
        "--against",
        tmp_path / "shards",
    )
    assert result.returncode == 0, result.stderr
    assert "2  samples matched," in result.stdout
    assert "1 captions extra" in result.stdout


@given(
    st.lists(st.fixed_dictionaries({"url": st.text(max_size=9), "caption": st.text(max_size=30)}), max_size=9)
)
def test_json_is_read_as_json_reads_it(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, str]]
) -> None:
    file = tmp_path_factory.mktemp("json") / "a.json"
    for text in (json.dumps(rows), json.dumps(rows, indent=2), "\n".join(map(json.dumps, rows))):
        file.write_text(text)
        assert list(read_json(file)) == rows


def test_large_json_is_read_in_pieces(tmp_path: Path) -> None:
    rows = [{"url": f"u{at}", "caption": "word " * 60} for at in range(40_000)]  # 13 MB: several buffers
    (tmp_path / "a.json").write_text(json.dumps(rows))
    assert (
        sum(row == wanted for row, wanted in zip(read_json(tmp_path / "a.json"), rows, strict=True)) == 40_000
    )


def test_seen_keys_are_a_set() -> None:
    seen, known = SeenKeys(), set()
    for chunk in range(20):
        keys = [f"k{(chunk * 37 + at * at) % 400}" for at in range(50)]
        expected = []
        for key in keys:
            expected.append(key not in known)
            known.add(key)
        assert seen.add(keys) == expected
