"""Recaptioning under Ray: a worker that is killed loses nothing."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from build_corpus import make_tars
from recaption_kit import QUICK, VEC, as_set, options_for, rows_of, run_stage
from stub_server import good, serving

from engine.build.budget import Budget
from engine.errors import UserError
from engine.executors import Progress, open_executor
from engine.recap import run as recap_run
from engine.recap.options import EngineOptions, ModelOptions
from engine.recap.run import RunOptions, recaption
from engine.sources import Source, Unit, open_source

ray = pytest.importorskip("ray")


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


@pytest.fixture
def ray_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets Ray's workers import this file."""
    here = Path(__file__).parent
    monkeypatch.setenv("PYTHONPATH", f"{here}:{here.parents[1]}")


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # Ray's own
@pytest.mark.usefixtures("ray_path")
def test_a_killed_worker_loses_nothing(tmp_path: Path) -> None:
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


def report_gpus(meeting: Path, task: int) -> Iterator[tuple[int, str]]:
    """Says what the worker may use, when another worker is there as well."""
    (meeting / str(os.getpid())).touch()
    while len(list(meeting.iterdir())) < 2:
        time.sleep(0.05)
    yield os.getpid(), os.environ["CUDA_VISIBLE_DEVICES"]


@pytest.fixture
def four_gpus(ray_path: None) -> Iterator[None]:
    """As Ray counts them; none need be there."""
    ray.init(num_cpus=4, num_gpus=4, log_to_driver=False, include_dashboard=False)
    yield
    ray.shutdown()


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # Ray's own
@pytest.mark.usefixtures("four_gpus")
def test_each_engine_has_gpus_of_its_own(tmp_path: Path) -> None:
    events = open_executor("ray", workers=2, gpus=2).run(report_gpus, tmp_path, [0, 1, 2, 3])
    reports = [event.report for event in events if isinstance(event, Progress)]
    assert len(reports) == 4
    of_worker = dict(reports)
    assert len(of_worker) == 2  # a worker stays, and with it its engine
    devices = [device for found in of_worker.values() for device in found.split(",")]
    assert sorted(devices) == ["0", "1", "2", "3"]


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # Ray's own
def test_too_few_gpus_are_an_error_instead_of_a_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_OVERRIDE_RESOURCES", '{"GPU": 1}')
    with pytest.raises(UserError, match="this machine has 1 GPUs, each worker needs 2"):
        next(open_executor("ray", workers=1, gpus=2).run(report_gpus, None, [0]))


class Opened(Exception):
    """Instead of an executor."""


@pytest.mark.parametrize(("at_server", "gpus"), [(False, 4), (True, 0)])
def test_an_engine_in_process_asks_for_its_gpus(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_server: bool, gpus: int
) -> None:
    def opened(*asked: object) -> None:
        raise Opened(*asked)

    monkeypatch.setattr(recap_run, "open_executor", opened)
    options = options_for(make_tars(tmp_path / "tars", tars=1), VEC)
    with serving(good) as stub:
        url = stub.url if at_server else None
        engine = EngineOptions(url, ModelOptions("stub"), tensor_parallel=4)
        run = RunOptions(tmp_path / "out", engine, 2, "ray")
        with pytest.raises(Opened) as found:
            recaption(open_source(options.source), options, run)
    assert found.value.args == ("ray", 2, gpus)
