"""A run over a mix of two data sets whose shares move, with a policy that moves too: logged, and resumed."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest
import yaml

from loaders.recipe.data import read_data_recipe
from loaders.replayer import Replayer
from tests.train import corpus
from tests.train.run_kit import ROOT, assert_goes_on_after, command, run

STEPS, GLOBAL = 16, 32
DATA = {
    "streams": {
        "vecap": {"weight": 3},
        "dfn": {"weight": 1, "policy": {"weights": {"alttext": 1}}},
    },
    "ramp": {"to": {"vecap": 1, "dfn": 3}, "begin": "4ba", "end": "0.75dur"},
    "policy": {"weights": {"alttext": 1}, "ramp": {"to": {"vecap": 1}, "begin": "0.5dur", "end": "0.5dur"}},
}


@pytest.fixture(scope="module")
def place(place: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mixed")
    (folder / "vecap").symlink_to(place / "train")
    (folder / "test").symlink_to(place / "test")
    corpus.write_corpus(folder / "dfn", 70, seed=3)
    data = {**DATA, "streams": {n: {**s, "local": str(folder / n)} for n, s in DATA["streams"].items()}}
    recipe = yaml.safe_load((ROOT / "yamls" / "tiny_cpu.yaml").read_text())
    (folder / "mix.yaml").write_text(yaml.safe_dump({**recipe, "data": data}, sort_keys=False))
    return folder


def words(place: Path, name: str, *more: str) -> list[str]:
    return [
        str(place / "mix.yaml") if word == "yamls/tiny_cpu.yaml" else word
        for word in command(place, name, *more)
        if not word.startswith("data.local=")
    ]


@pytest.fixture(scope="module")
def undisturbed(place: Path) -> Path:
    run(words(place, "undisturbed"))
    return place / "runs" / "undisturbed"


def test_the_log_has_the_shares_of_each_step(undisturbed: Path) -> None:
    lines = [json.loads(line) for line in (undisturbed / "log.jsonl").read_text().splitlines()]
    logged = [line for line in lines if "streams/dfn" in line]
    assert len(logged) == STEPS
    for step, line in enumerate(logged):
        wanted = 0.25 + 0.5 * min(1, max(0, (step - 4) / 8))
        assert line["streams/dfn"] == pytest.approx(wanted, abs=1 / GLOBAL)
        assert line["streams/dfn"] + line["streams/vecap"] == pytest.approx(1)
        # From step 8 on VeCap's policy draws VeCap alone.
        assert line["captions/vecap"] == pytest.approx(line["streams/vecap"] if step >= 8 else 0)


@pytest.mark.slow
def test_killed_and_resumed_it_ends_in_the_same_weights(place: Path, undisturbed: Path) -> None:
    going_on = words(place, "killed", "autoresume=true")
    assert_goes_on_after(signal.SIGKILL, going_on, place / "runs" / "killed", undisturbed)


@pytest.mark.slow
def test_another_mix_is_not_gone_on_with(place: Path, undisturbed: Path) -> None:
    saved = min(p for p in undisturbed.glob("ep0-ba*-rank0.pt") if not p.is_symlink())
    other = words(place, "other", f"load_path={saved}", "data.streams.dfn.weight=2")
    failed = run(other, code=1)
    assert "of an epoch of another mix" in failed.stderr
    assert failed.stderr.count("error:") == 1


def test_the_saved_config_replays_the_run(undisturbed: Path) -> None:
    replayer = Replayer(read_data_recipe(undisturbed / "config.yaml"))
    assert replayer.total == STEPS
    seen = replayer.step(15)
    assert [sight.stream for sight in seen] == ["vecap"] * 8 + ["dfn"] * 24
    assert {(sight.stream, sight.source) for sight in seen} == {("vecap", "vecap"), ("dfn", "alttext")}
