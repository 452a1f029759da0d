"""The measuring command on real loaders: both decoders, the time kept, errors, Ctrl-C, nothing left."""

from __future__ import annotations

import dataclasses
import gc
import io
import json
import os
import pty
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import yaml
from PIL import Image

from loaders.dali_pipeline import SlicePipeline
from loaders.loader import DataConfig
from loaders.recipe.data import read_data_recipe
from loaders.tune.__main__ import main
from loaders.tune.bench import Bench, Limit
from loaders.tune.candidates import Candidate, candidates
from loaders.tune.machine import device_of_a_rank
from tests.loaders.corpus import Sample, make_samples, write_dataset

ROOT = Path(__file__).parents[2]
SAMPLES, GLOBAL, SIDE = 48, 8, 16
# Beyond its time a run may have a batch under way, and loaders to close; the machine may be busy.
GRACE_S = 10


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tune")
    write_dataset(folder / "data", make_samples(SAMPLES))
    written = {
        "model": {"vision": {"image_size": SIDE}},
        "data": {"local": str(folder / "data")},
        "global_train_batch_size": GLOBAL,
    }
    (folder / "recipe.yaml").write_text(yaml.safe_dump(written))
    return folder / "recipe.yaml"


def files(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file, with its size and time of change."""
    return {
        str(path): (path.stat().st_size, path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_it_prints_a_table_and_lines_that_a_recipe_takes(
    recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before, running = files(recipe.parent), threading.active_count()
    began = time.monotonic()
    assert main([str(recipe), "--seconds", "4", "--ranks", "1", "--json", str(tmp_path / "tune.json")]) == 0
    assert time.monotonic() - began < 4 + GRACE_S
    out = capsys.readouterr().out
    result = json.loads((tmp_path / "tune.json").read_text())
    rates = [one["samples_per_s"] for one in result["measured"]]
    assert rates == sorted(rates, reverse=True)
    assert {one["decoder"] for one in result["measured"]} == {"native", "dali"}
    assert (result["stopped"], result["left_out"], result["batch_size"]) == (False, {}, GLOBAL)
    assert all(one["cpu_s_per_1000"] > 0 for one in result["measured"])
    # The table has the same rows in the same order, and the rest is YAML.
    head, rest = out.split("\n\n")
    rows = re.findall(r"^ +(native|dali) +(\d+) +(\d+) +([\d,]+) ", head, re.MULTILINE)
    assert [(r[0], int(r[1]), int(r[2])) for r in rows] == [
        (one["decoder"], one["threads"], one["prefetch"]) for one in result["measured"]
    ]
    pasted = yaml.safe_load(rest)
    assert pasted == {"data": result["recommended"]}
    words = [f"data.{key}={value}" for key, value in pasted["data"].items()]
    taken = read_data_recipe(recipe, words)
    assert (taken.decoder, taken.threads) == (pasted["data"]["decoder"], pasted["data"]["threads"])
    # Nothing is left behind.
    assert files(recipe.parent) == before
    assert threading.active_count() <= running


def test_a_slow_batch_is_cut(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["global_train_batch_size=48", "model.vision.image_size=1024", "data.dtype=float32"]
    assert main([str(recipe), *words, "--seconds", "0.5", "--ranks", "1"]) == 0
    assert "batches of 32 (not 48, which take too long) at 1024 px, float32" in capsys.readouterr().out


def test_a_rank_has_its_share_of_the_batch_and_the_cores(recipe: Path, tmp_path: Path) -> None:
    out = tmp_path / "tune.json"
    assert main([str(recipe), "--seconds", "1", "--ranks", "2", "--json", str(out)]) == 0
    share = json.loads(out.read_text())
    assert (share["batch_size"], share["measured_batch_size"], share["ranks"]) == (
        GLOBAL // 2,
        GLOBAL // 2,
        2,
    )
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    assert share["cores"] == max(1, cores // 2)


def test_a_mix_is_measured_and_a_remote_leaves_its_cache_only(recipe: Path, tmp_path: Path) -> None:
    data, cache = str(recipe.parent / "data"), tmp_path / "cache"
    streams = {"here": {"local": data}, "far": {"local": str(cache), "remote": data}}
    (tmp_path / "mix.yaml").write_text(
        yaml.safe_dump({**yaml.safe_load(recipe.read_text()), "data": {"streams": streams}})
    )
    out = tmp_path / "tune.json"
    assert main([str(tmp_path / "mix.yaml"), "--seconds", "1", "--json", str(out)]) == 0
    assert json.loads(out.read_text())["measured"]
    fetched = {path.relative_to(cache) for path in cache.rglob("*") if path.is_file()}
    claims = {path for path in fetched if path.parts[0] == ".fetch"}
    assert claims == {Path(".fetch/claims")}  # what any run leaves
    assert fetched - claims <= {path.relative_to(data) for path in Path(data).rglob("*")}


def test_without_dali_the_reason_is_told(
    recipe: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "nvidia.dali", None)  # as Python says that there is none
    assert main([str(recipe), "--seconds", "1"]) == 0
    out = capsys.readouterr().out
    assert re.search(r"^dali was left out: .*pip install", out, re.MULTILINE)
    assert not re.search(r"^ +dali ", out, re.MULTILINE)
    assert yaml.safe_load(out.split("\n\n")[1])["data"]["decoder"] == "native"


def test_what_dali_leaves_to_the_native_core_is_told(recipe: Path, tmp_path: Path) -> None:
    out = tmp_path / "tune.json"
    write_dataset(tmp_path / "data", [as_png(sample) for sample in make_samples(16)])
    words = [str(recipe), f"data.local={tmp_path}/data", "--seconds", "1", "--json", str(out)]
    assert main(words) == 0
    measured = json.loads(out.read_text())["measured"]
    left = {(one["decoder"], one["left_to_native"]) for one in measured}
    assert left == {("native", 0), ("dali", 1)}


def as_png(sample: Sample) -> Sample:
    """The same pixels in a format that DALI is not given."""
    file = io.BytesIO()
    with Image.open(io.BytesIO(sample.image)) as image:
        image.save(file, "PNG")
    return dataclasses.replace(sample, image=file.getvalue())


def test_turns_read_the_same_samples_and_leave_no_pipeline(recipe: Path) -> None:
    bench = Bench(read_data_recipe(recipe), device_of_a_rank())
    for decoder in ("native", "dali", "native"):
        turn, batches = bench.turn(Candidate(decoder, 1, 2), Limit(60, 4))
        assert (turn.samples, batches) == (4 * GLOBAL, 4)
        assert bench.dataset.next_epoch == 1  # it read the first one
    assert not [thing for thing in gc.get_objects() if type(thing) is SlicePipeline]


def test_workers_stay_with_the_native_decoder(
    recipe: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    out = tmp_path / "tune.json"
    assert main([str(recipe), "data.num_workers=1", "--seconds", "4", "--json", str(out)]) == 0
    measured = json.loads(out.read_text())["measured"]
    assert {(one["decoder"], one["workers"]) for one in measured} == {("native", 1), ("dali", 0)}
    printed = capsys.readouterr().out
    assert re.search(r"^ +native +1 x \d", printed, re.MULTILINE)
    recommended = yaml.safe_load(printed.split("\n\n")[1])["data"]
    assert ("num_workers" in recommended) == (recommended["decoder"] == "dali")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["global_train_batch_size=64"], "48 samples are no global batch of 64"),
        (["--ranks", "3"], "global_train_batch_size: 8 does not divide among 3 ranks"),
        (["data.prefetsch=2"], "data.prefetsch: unknown key (did you mean prefetch"),
        (["data.batch_size=2"], "data.batch_size: cannot be given"),
        (["data.decoder=dalli"], "data.decoder: 'dalli' given"),
        (["data.local=/nowhere"], "/nowhere"),
        (["--json", "/nowhere/tune.json"], "--json: /nowhere/tune.json"),
    ],
)
def test_errors_are_one_line(
    recipe: Path, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(recipe), *words]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: ")
    assert message in printed.err
    assert printed.err.count("\n") == 1


def test_a_data_set_without_samples_is_refused(
    recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_dataset(tmp_path / "data", make_samples(1), shards=1)
    index = json.loads((tmp_path / "data/index.json").read_text())
    (tmp_path / "data/index.json").write_text(json.dumps({**index, "shards": []}))
    assert main([str(recipe), f"data.local={tmp_path}/data"]) == 1
    assert capsys.readouterr().err.startswith("error: ")


@pytest.mark.parametrize("words", [["--ranks", "0"], ["--seconds", "0"], ["--seconds", "nan"], []])
def test_wrong_usage(recipe: Path, words: list[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main([str(recipe), *words] if words else [])


@pytest.mark.slow
def test_ctrl_c_prints_what_is_known_and_leaves_nothing(recipe: Path, tmp_path: Path) -> None:
    ours, theirs = pty.openpty()  # on a terminal, progress is drawn at once
    words = [str(recipe), "--seconds", "9", "--json", str(tmp_path / "tune.json")]
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "loaders.tune", *words],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=theirs,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    ) as run:
        os.close(theirs)
        shown = b""
        while b"of 9 s" not in shown or shown.count(b"native, threads") < 3:  # two turns are over
            shown += os.read(ours, 4096)
        mapped = shared_memory(run.pid)
        run.send_signal(signal.SIGINT)
        began = time.monotonic()
        out, _ = run.communicate()
        assert time.monotonic() - began < GRACE_S
    os.close(ours)
    assert run.returncode == 130
    assert yaml.safe_load(out.split("\n\n")[1])["data"]["decoder"] in ("native", "dali")
    assert json.loads((tmp_path / "tune.json").read_text())["stopped"] is True
    assert mapped
    assert not [path for path in mapped if os.path.exists(path)]


def shared_memory(pid: int) -> set[str]:
    """The named shared memory that a process uses."""
    return set(re.findall(r"/dev/shm/\d{6}_\w+", Path(f"/proc/{pid}/maps").read_text()))


def test_help_says_what_is_measured_and_is_quick() -> None:
    began = time.monotonic()
    words = [sys.executable, "-m", "loaders.tune", "--help"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "examples:" in done.stdout
    assert "fewer threads" in done.stdout
    assert time.monotonic() - began < 1 + 2 * os.getloadavg()[0] / (os.cpu_count() or 1)


def test_the_first_candidate_is_the_recipes_default() -> None:
    first, default = candidates(2, 0)[0], DataConfig("data", 8)
    assert (first.decoder, first.prefetch, first.workers) == (
        default.decoder,
        default.prefetch,
        default.num_workers,
    )
