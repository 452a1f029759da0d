"""Replay of a mix whose streams' weights move: what the loader gave, step by step and key by key."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from engine.errors import UserError
from loaders import replay
from loaders.batches import Batch
from loaders.loader import build_loader
from loaders.recipe.data import read_data_recipe
from loaders.recipe.strict import to_plain
from loaders.replayer import LeftOut, Replayer, Seen
from tests.loaders.mix_kit import DFN, GLOBAL, VECAP, write_streams

EPOCHS, SIDE = 4, 16
STEPS = EPOCHS * ((VECAP + DFN) // GLOBAL)


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("replay")
    streams = to_plain(write_streams(folder))
    written = {
        "model": {"vision": {"image_size": SIDE}},
        "data": {"streams": streams, "ramp": {"to": {"dfn": 1}, "begin": "1ep", "end": "0.75dur"}},
        "global_train_batch_size": GLOBAL,
        "max_duration": f"{EPOCHS}ep",
    }
    (folder / "recipe.yaml").write_text(yaml.safe_dump(written, sort_keys=False))
    return folder / "recipe.yaml"


@pytest.fixture(scope="module")
def replayer(recipe: Path) -> Replayer:
    return Replayer(read_data_recipe(recipe, ["data.seed=5"]))


@pytest.fixture(scope="module")
def run(recipe: Path) -> list[Batch]:
    loader = build_loader(read_data_recipe(recipe, ["data.seed=5"]))
    return [batch for _ in range(EPOCHS) for batch in loader]


def same(sight: Seen, batch: Batch) -> bool:
    row = sight.slot
    return (
        sight.key == batch["key"][row]
        and sight.stream == ("vecap", "dfn")[int(batch["stream"][row])]
        and sight.source == ("alttext", "vecap", "rewrite")[int(batch["caption_source"][row])]
        and bool((sight.image == batch["image"][row].numpy()).all())
        and bool((sight.tokens == batch["text"][row].numpy()).all())
    )


def test_each_step_is_shown_as_the_loader_gave_it(replayer: Replayer, run: list[Batch]) -> None:
    assert len(run) == replayer.total == STEPS
    for step in reversed(range(STEPS)):
        seen = replayer.step(step)
        assert [sight.slot for sight in seen] == list(range(GLOBAL))
        assert all(same(sight, run[step]) for sight in seen)
    assert [sight.key for sight in replayer.step(3, 2)] == run[3]["key"][:2]


def test_a_key_is_found_in_every_epoch_of_its_stream(replayer: Replayer, run: list[Batch]) -> None:
    for key in ("site/0005.jpg", "site/0020.jpg", "dfn/0000", "dfn/0013"):
        steps = [step for step in range(STEPS) if key in run[step]["key"]]
        sights = list(replayer.key(key))
        assert [sight.epoch for sight in sights] == list(range(len(sights)))
        assert [sight.step for sight in sights if isinstance(sight, Seen)] == steps
        assert all(same(sight, run[sight.step]) for sight in sights if isinstance(sight, Seen))
        assert all(not isinstance(sight, LeftOut) for sight in sights[:-1])
        assert len(steps) >= (4 if key.startswith("dfn") else 1)
    with pytest.raises(UserError, match=r"no sample of .*vecap, .*dfn has the key 'nobody'"):
        list(replayer.key("nobody"))


def test_the_command_names_the_streams(
    recipe: Path, run: list[Batch], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.html"
    assert replay.main([str(recipe), "data.seed=5", "--step", str(STEPS - 1), "--html", str(page)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"Step {STEPS - 1}: epoch 3, batch 6 of 7, 8 of 8 samples"
    for slot, key in enumerate(run[-1]["key"]):
        assert lines[1 + slot].startswith(f"step {STEPS - 1} stream dfn epoch ")
        assert f"slot {slot}  {key}  box " in lines[1 + slot]
    assert "dfn epoch" in page.read_text("utf-8")
    assert replay.main([str(recipe), "data.seed=5", "--key", "dfn/0013"]) == 0
    assert "stream dfn epoch 0 slot" in capsys.readouterr().out
