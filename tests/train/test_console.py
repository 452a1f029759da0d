"""The console: the clock stands still in pauses, the time left counts looks, a line says what is fresh."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest

from train.model.optim import Plan
from train.watch import clock as clock_module
from train.watch.clock import Clock
from train.watch.console import ConsoleLog, Looks, clock_time, data_line


class Hand:
    """A clock's hand that we move."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.at = 1000.0
        monkeypatch.setattr(clock_module.time, "perf_counter", lambda: self.at)


def test_pauses_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    assert clock_module.time is time
    hand = Hand(monkeypatch)
    clock = Clock()
    hand.at += 5
    with clock.paused():
        hand.at += 100
    hand.at += 2
    assert (clock.now(), clock.paused_s, clock.last_pause_s, clock.pauses) == (7, 100, 100, 1)


@pytest.mark.parametrize(
    ("step", "left"), [(0, 4), (3, 4), (4, 3), (7, 3), (8, 2), (11, 2), (12, 1), (13, 1)]
)
def test_looks_left(step: int, left: int) -> None:
    """Every 4 of 13 steps: after 4, 8, 12, and at the end."""
    assert Looks(4, True).left(step, 13) == left
    assert Looks(None, True).left(step, 13) == 1
    assert Looks(None, False).left(step, 13) == 0
    assert (
        Looks(4, True).left(min(step, 12), 12)
        == [3, 3, 2, 2, 1, 1, 1, 1][[0, 3, 4, 7, 8, 11, 12, 13].index(step)]
    )


def test_the_last_step_is_looked_at_once() -> None:
    assert [Looks(4, True).left(step, 12) for step in (0, 4, 8, 11, 12)] == [3, 2, 1, 1, 1]


def test_the_time_left_of_a_resumed_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """From step 100 on; the first interval warms up and says nothing about the rest."""
    hand = Hand(monkeypatch)
    log = ConsoleLog(10, Plan(64, 50, 200), Clock(), Looks(50, True))
    state: Any = _State()
    log.fit_start(state, None)  # type: ignore[arg-type]
    hand.at += 300  # the first interval
    state.timestamp.batch = 110
    log.batch_end(state, None)  # type: ignore[arg-type]
    hand.at += 20
    with log.clock.paused():
        hand.at += 60
    assert log.left_s(120) == pytest.approx(80 * 2 + 2 * 60)  # looks after 150 and 200


class _State:
    def __init__(self) -> None:
        self.timestamp = SimpleNamespace(batch=100, epoch=2)


def test_a_line_says_what_was_logged_since_the_last(capsys: pytest.CaptureFixture[str]) -> None:
    log = ConsoleLog(10, Plan(64, 50, 200), Clock(), Looks())
    log.fit_start(_State(), None)  # type: ignore[arg-type]
    log.log_metrics({"loss/train/total": 2.5, "l2_norm/grad": 1.25, "throughput/mfu": 0.4321}, 99)
    log.log_metrics({"throughput/data_wait_fraction": 0.0123, "steps/dropped": 2, "other": 1.0}, 99)
    log.batch_end(_State(), None)  # type: ignore[arg-type]
    line = capsys.readouterr().err
    assert line.startswith(
        "step 100/200  epoch 2  loss 2.5000  grad 1.25  wait 1.2%  MFU 43.2%  dropped 2  left "
    )
    assert "MFU" not in log.line(101, 2)


def test_numbers_as_people_write_them() -> None:
    assert clock_time(3 * 3600 + 62) == "3:01:02"
    line = data_line(Plan(8192, 405, 12_960), 3_318_333, 810)
    assert line == "data: 3,318,333 samples; 12,960 steps (32.0 epochs of 405), from step 810"
