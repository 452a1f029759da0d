"""Runs with FSDP are runs with DDP; one checkpoint serves both, and every tool."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.train import corpus
from tests.train.kit import assert_same
from tests.train.run_kit import COMPOSER, command, losses, run, weights
from train.keeping.checkpoints import load_model

pytestmark = pytest.mark.slow
CALM = ["max_duration=6ba", "save_interval=3ba", "ema={half_life: 2ba}"]
# AdamW turns rounding in gradients near zero into whole steps: 2e-3 each at most.
NOISE = 2e-4
FSDP = ["fsdp={}"]


@pytest.fixture(scope="module")
def place(place: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sharded")
    (folder / "train").symlink_to(place / "train")
    corpus.write_corpus(folder / "test", 61, seed=2)  # the ranks' shares differ
    return folder


@pytest.fixture(scope="module")
def ddp(place: Path) -> Path:
    run(command(place, "ddp", *CALM, launcher=COMPOSER))
    return place / "runs" / "ddp"


@pytest.fixture(scope="module")
def fsdp(place: Path) -> Path:
    run(command(place, "fsdp", *CALM, *FSDP, launcher=COMPOSER))
    return place / "runs" / "fsdp"


def logged(folder: Path, name: str) -> dict[int, float]:
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return {line["step"]: line[name] for line in lines if name in line}


def test_equals_ddp(ddp: Path, fsdp: Path) -> None:
    for name in ("loss/train/total", "l2_norm/grad", "model/logit_scale"):
        expected = logged(ddp, name)
        assert len(expected) == 6
        assert logged(fsdp, name) == pytest.approx(expected, rel=1e-5), name
    assert_same(weights(fsdp), weights(ddp), NOISE)
    tables: list[dict[str, Any]] = [json.loads((f / "results.json").read_text()) for f in (ddp, fsdp)]
    assert tables[1]["images"] == 61
    for name in ("loss/alttext", "loss/vecap"):
        assert tables[1][name] == pytest.approx(tables[0][name], rel=1e-5)


@pytest.mark.parametrize("averaged", [True, False])
def test_its_checkpoint_is_one_file_that_any_tool_loads(ddp: Path, fsdp: Path, averaged: bool) -> None:
    """Sealed, data only, with the averages beside the weights."""
    assert (fsdp / "ep1-ba6-rank0.pt.xxh64").exists()
    assert list(fsdp.glob("*rank1*")) == []
    one, other = (load_model(folder, averaged)[0].state_dict() for folder in (fsdp, ddp))
    assert_same(one, other, NOISE)
    assert not torch.equal(one["clip.logit_scale"], load_model(fsdp, not averaged)[0].clip.logit_scale)


@pytest.mark.parametrize(("first", "then"), [("fsdp", []), ("ddp", FSDP)])
def test_a_run_goes_on_with_or_without(
    place: Path, ddp: Path, request: pytest.FixtureRequest, first: str, then: list[str]
) -> None:
    """From step 3, of which one kind of run has a checkpoint, the other kind takes steps 4 to 6."""
    begun: Path = request.getfixturevalue(first)
    folder = Path(shutil.copytree(begun, place / "runs" / f"{first}-and-on", symlinks=True))
    for path in folder.glob("ep1-ba6*"):
        path.unlink()
    (folder / "log.jsonl").unlink()
    more = [*CALM, *then, "retrieval=null", "autoresume=true"]
    run(command(place, folder.name, *more, launcher=COMPOSER))
    assert list(losses(folder)) == [3, 4, 5]
    assert losses(folder) == pytest.approx({step: losses(ddp)[step] for step in (3, 4, 5)}, rel=1e-5)
    for averaged in (True, False):
        found, expected = (load_model(f, averaged)[0].state_dict() for f in (folder, ddp))
        assert_same(found, expected, NOISE)
