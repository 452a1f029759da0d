"""Recaptioning under Ray: a worker that is killed loses nothing."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from build_corpus import make_tars
from recaption_kit import QUICK, VEC, as_set, options_for, rows_of, run_stage
from stub_server import good, serving

from engine.build.budget import Budget
from engine.recap.options import EngineOptions, ModelOptions
from engine.recap.run import RunOptions, recaption
from engine.sources import Source, Unit, open_source

pytest.importorskip("ray")


class KillingSource(Source):
    """Ends its process in the middle of the second unit, once."""

    def __init__(self, inner: Source, fuse: Path) -> None:
        super().__init__(inner.assembler)
        self.inner, self.fuse = inner, fuse

    def units(self) -> list[Unit]:
        return self.inner.units()

    def read(self, unit: Unit) -> Iterator[Any]:
        for at, item in enumerate(self.inner.read(unit)):
            if at == 20 and unit.name.startswith("00001") and self.fuse.exists():
                self.fuse.unlink()
                os.kill(os.getpid(), signal.SIGKILL)
            yield item


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # Ray's own
def test_a_killed_worker_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = Path(__file__).parent
    monkeypatch.setenv("PYTHONPATH", f"{here}:{here.parents[1]}")
    tars = make_tars(tmp_path / "tars", tars=4)
    (tmp_path / "fuse").touch()
    with serving(good) as stub:
        run_stage(tars, tmp_path / "calm", VEC, stub.url)
        engine = EngineOptions(stub.url, ModelOptions(), patience=QUICK)
        run = RunOptions(tmp_path / "out", engine, 2, "ray", Budget(1.0))
        options = options_for(tars, VEC)
        counts = recaption(KillingSource(open_source(options.source), tmp_path / "fuse"), options, run).counts
    assert not (tmp_path / "fuse").exists()
    assert counts.seen == 120
    assert as_set(rows_of(tmp_path / "out", "vec")) == as_set(rows_of(tmp_path / "calm", "vec"))
