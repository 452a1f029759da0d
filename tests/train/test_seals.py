"""Damaged checkpoints are passed over, hostile ones refused without being run."""

from __future__ import annotations

import datetime
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from composer.core import Time

from engine.errors import UserError
from train.keeping.seals import (
    LATEST,
    choose_sound,
    load_data,
    remove_old,
    require_data_only,
    seal,
    set_run_aside,
)

LATER = 1 << 62


def save(folder: Path, batch: int) -> Path:
    """What Composer keeps beside tensors, in little."""
    path = folder / f"ep0-ba{batch}-rank0.pt"
    state = {
        "weights": torch.arange(1000.0) + batch,
        "time": Time.from_timestring("3ba"),
        "took": datetime.timedelta(seconds=2),
        "rng": np.random.get_state(),
        "number": np.float64(0.5),
        "version": torch.__version__,
    }
    torch.save(state, path)
    latest = folder / LATEST
    latest.unlink(missing_ok=True)
    latest.symlink_to(path.name)
    return path


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("damage", [flip, cut, empty])
def test_the_newest_sound_one_is_taken(
    tmp_path: Path, damage: Callable[[Path], None], capsys: pytest.CaptureFixture[str]
) -> None:
    paths = [save(tmp_path, batch) for batch in (4, 8, 12)]
    seal(tmp_path, LATER)
    damage(paths[2])
    choose_sound(tmp_path)
    assert (tmp_path / LATEST).resolve() == paths[1]
    assert float(load_data(tmp_path / LATEST)["weights"][0]) == 8
    assert "ep0-ba12-rank0.pt: set aside as ep0-ba12-rank0.pt.damaged" in capsys.readouterr().err
    assert not paths[2].exists()
    damage(paths[1])
    damage(paths[0])
    with pytest.raises(UserError, match=r"no checkpoint is sound .*ep0-ba8-rank0\.pt: .*save_overwrite"):
        choose_sound(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {f"{path.name}.damaged" for path in paths}


@pytest.mark.parametrize("damage", [cut, empty])
def test_a_run_killed_while_it_saved_goes_on_from_the_one_before(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    before = save(tmp_path, 4)
    seal(tmp_path, LATER)
    damage(save(tmp_path, 8))
    choose_sound(tmp_path)
    assert (tmp_path / LATEST).resolve() == before


def test_an_unsealed_one_that_loads_is_sound(tmp_path: Path) -> None:
    save(tmp_path, 4)
    seal(tmp_path, LATER)
    newest = save(tmp_path, 8)
    (tmp_path / LATEST).unlink()  # killed before it could point there
    choose_sound(tmp_path)
    assert (tmp_path / LATEST).resolve() == newest


def test_seals_go_with_their_checkpoints(tmp_path: Path) -> None:
    old, new = save(tmp_path, 4), save(tmp_path, 8)
    seal(tmp_path, LATER)
    old.unlink()
    seal(tmp_path, LATER)
    assert sorted(path.name for path in tmp_path.glob("*.xxh64")) == [f"{new.name}.xxh64"]


def test_one_written_anew_is_sealed_anew(tmp_path: Path) -> None:
    path = save(tmp_path, 4)
    seal(tmp_path, LATER)
    torch.save({"other": torch.zeros(3)}, path)
    seal(tmp_path, path.stat().st_mtime_ns)
    choose_sound(tmp_path)
    assert (tmp_path / LATEST).resolve() == path


def test_only_the_newest_are_kept(tmp_path: Path) -> None:
    """Whoever saved them: Composer forgets those of the processes before."""
    for batch in (4, 12, 8, 100):
        save(tmp_path, batch)
    seal(tmp_path, LATER)
    remove_old(tmp_path, 2)
    kept = {"ep0-ba100-rank0.pt", "ep0-ba12-rank0.pt"}
    assert {p.name for p in tmp_path.iterdir()} == kept | {f"{k}.xxh64" for k in kept} | {LATEST}


def test_a_run_that_is_replaced_is_kept_aside(tmp_path: Path) -> None:
    for number in (1, 2):
        path = save(tmp_path, 4 * number)
        seal(tmp_path, LATER)
        (tmp_path / "log.jsonl").write_text(str(number))
        (tmp_path / "config.yaml").write_text("")
        set_run_aside(tmp_path)
        aside = tmp_path / f"replaced-{number}"
        names = {path.name, f"{path.name}.xxh64", LATEST, "log.jsonl", "config.yaml"}
        assert {p.name for p in aside.iterdir()} == names
        assert (aside / LATEST).resolve() == aside / path.name
    set_run_aside(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["replaced-1", "replaced-2"]


class Hostile:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self.mark}",)


def test_a_file_that_would_run_code_is_refused_and_not_run(tmp_path: Path) -> None:
    path, mark = tmp_path / "bad.pt", tmp_path / "ran"
    torch.save({"state": Hostile(mark)}, path)
    for look in (require_data_only, load_data):
        with pytest.raises(UserError, match=r"refused: loading it would run posix\.system"):
            look(path)
    path.rename(tmp_path / "ep0-ba4-rank0.pt")
    with pytest.raises(UserError, match="refused"):
        choose_sound(tmp_path)
    assert (tmp_path / "ep0-ba4-rank0.pt").exists()  # it is not damaged
    assert not mark.exists()


def test_anything_else_is_no_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "text.pt").write_text("hello")
    for name in ("text.pt", "missing.pt"):
        with pytest.raises(UserError, match="not a checkpoint, or a damaged one"):
            load_data(tmp_path / name)
