"""SIGTERM at any time ends a run in order: before the first step, in a probe, in the last evaluation."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
import torch
from composer.core import Event
from PIL import Image

from tests.train.run_kit import COMPOSER, command, run, weights
from train.stopping import StopNotice, StoppedError, at_once, rounds

ROOT = Path(__file__).parents[2]
ONE = (sys.executable,)


def test_a_notice_stops_between_items() -> None:
    notice, seen = StopNotice(), []
    items = notice.between(iter("abcd"), 4)
    for item in items:
        seen.append(item)
        if item == "b":
            notice.asked = True
            break
    with pytest.raises(StoppedError):
        next(items)
    assert (seen, notice.agreed) == (["a", "b"], True)


def test_a_rank_with_fewer_items_asks_as_often() -> None:
    notice, asked = StopNotice(), []
    object.__setattr__(notice, "check", lambda: asked.append(1))
    assert list(notice.between(iter("abc"), 5)) == ["a", "b", "c"]
    assert len(asked) == 5
    assert list(at_once("abc", 0)) == ["a", "b", "c"]


@pytest.mark.parametrize("ranks", [1, 2, 3, 7])
@pytest.mark.parametrize("count", [1, 2, 20, 21])
def test_rounds_are_those_of_the_fullest_rank(count: int, ranks: int) -> None:
    shares = [len(range(rank, count, ranks)) for rank in range(ranks)]
    assert rounds(count, ranks, 3) == max(-(-share // 3) for share in shares)


class Gate:
    """A file that is a pipe: whoever reads it waits for us, at a place that we chose."""

    def __init__(self, path: Path) -> None:
        self.path = path
        os.mkfifo(path)

    def when_read(self, process: subprocess.Popen[str], act: Callable[[], None], content: bytes) -> None:
        """Waits for a reader, acts, then lets it read."""
        ends = time.monotonic() + 200
        while True:
            try:
                writer = os.open(self.path, os.O_WRONLY | os.O_NONBLOCK)
                break
            except OSError:
                if process.poll() is not None:
                    pytest.fail(f"it ended: {process.communicate()}")
                assert time.monotonic() < ends
                time.sleep(0.02)
        act()
        os.set_blocking(writer, True)
        # Whoever is told to stop before it reads may have closed it already.
        with suppress(BrokenPipeError), os.fdopen(writer, "wb", buffering=0) as file:
            file.write(content)
        self._until_closed()

    def _until_closed(self) -> None:
        """The next one to read is another reader, not this one that has not closed it yet."""
        while True:
            try:
                os.close(os.open(self.path, os.O_WRONLY | os.O_NONBLOCK))
            except OSError:
                return
            time.sleep(0.02)


def start(words: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def tell_to_stop(process: subprocess.Popen[str]) -> None:
    """SIGTERM to each process of the run, as a scheduler does: a launcher alone passes it on too late."""
    family = psutil.Process(process.pid)
    for one in [family, *family.children(recursive=True)]:
        with suppress(psutil.NoSuchProcess):
            one.send_signal(signal.SIGTERM)


def stopped_at(gate: Gate, words: list[str], content: bytes, passes: int = 0) -> tuple[int, str]:
    """Exit code and last words of a run that is told to stop at the gate, after it has passed it."""
    process = start(words)
    for _ in range(passes):
        gate.when_read(process, lambda: None, content)
    gate.when_read(process, lambda: tell_to_stop(process), content)
    _, errors = process.communicate(timeout=120)
    said = [line for line in errors.splitlines() if line.startswith("stopped by SIGTERM")]
    assert len(said) == 1, errors[-3000:]
    return process.returncode, said[0]


@pytest.fixture
def held_out(tmp_path: Path) -> tuple[Path, bytes]:
    """A labelled set of four images."""
    for name in ("0_first", "1_second"):
        (tmp_path / "set" / name).mkdir(parents=True)
        for at in range(2):
            Image.new("RGB", (40, 40), (90 * at, 80, 10)).save(tmp_path / "set" / name / f"{at}.png")
    first = tmp_path / "set" / "0_first" / "0.png"
    content = first.read_bytes()
    return first, content


def settings(first: Path, name: str, *more: str) -> list[str]:
    probe = f"zeroshot={{gated: {{local: {first.parents[1]}, batch_size: 1}}}}"
    return [name, "autoresume=true", "save_interval=100ba", probe, *more]


def last_step(folder: Path) -> int:
    state = torch.load(folder / "latest-rank0.pt", weights_only=False)["state"]
    return int(state["timestamp"]["Timestamp"]["batch"])


@pytest.mark.slow
@pytest.mark.parametrize("launcher", [ONE, COMPOSER], ids=["one", "two"])
def test_in_a_probe_and_in_the_last_evaluation(
    place: Path, undisturbed: Path, held_out: tuple[Path, bytes], launcher: tuple[str, ...]
) -> None:
    """And before the first step. The step before it is saved, no step is taken twice, and the end is the
    undisturbed one, reached on one rank."""
    first, content = held_out
    name = f"probed-{len(launcher)}"
    folder = place / "runs" / name
    first.unlink()
    gate = Gate(first)
    words = command(place, *settings(first, name, "eval_interval=3ba"), launcher=launcher)
    # Images are looked at before training too: a run that is told to stop then begins anew.
    if launcher == ONE:
        assert stopped_at(gate, words, content) == (
            143,
            "stopped by SIGTERM before the first step; no step was taken, begin again with autoresume=true",
        )
        assert not list(folder.glob("*.pt"))
    code, line = stopped_at(gate, words, content, passes=1)
    if launcher == ONE:
        assert (code, line) == (
            143,
            "stopped by SIGTERM after step 3; a checkpoint is saved, go on with autoresume=true",
        )
    assert last_step(folder) == 3
    assert "zeroshot" not in (folder / "log.jsonl").read_text()
    assert (folder / "report.html").exists()

    # What was broken off is made up; then come steps 6, 9, 12 and 15, and the end.
    again = command(place, *settings(first, name, "eval_interval=3ba"), launcher=launcher)
    code, line = stopped_at(gate, again, content, passes=6)
    if launcher == ONE:
        assert code == 143
        assert line == (
            "stopped by SIGTERM after step 16; the last evaluation is missing, go on with autoresume=true"
        )
    assert last_step(folder) == 16
    assert not (folder / "results.json").exists()
    logged = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in logged if "probes/seconds" in line] == [3, 6, 9, 12, 15]

    first.unlink()
    shutil.copy(first.with_name("1.png"), first)
    run(command(place, *settings(first, name)))
    results = json.loads((folder / "results.json").read_text())
    assert results["zeroshot/gated/images"] == 4
    if launcher == ONE:
        for key, value in weights(undisturbed).items():
            assert torch.equal(value, weights(folder)[key]), key


def test_an_agreement_is_saved_at_the_next_checkpoint_event() -> None:
    from train.stopping import save_schedule

    class State:
        previous_timestamp = None

    notice = StopNotice()
    due = save_schedule("100ba", notice)
    events = (Event.BATCH_CHECKPOINT, Event.EPOCH_CHECKPOINT)
    assert [due(State(), event) for event in events] == [False, False]  # type: ignore[arg-type]
    notice.agreed = True
    assert [due(State(), event) for event in events] == [True, True]  # type: ignore[arg-type]
    assert not due(State(), Event.BATCH_END)  # type: ignore[arg-type]
