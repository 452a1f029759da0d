"""One cell of the table: the peers take turns, and every turn of a peer has one of ours beside it."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from benchmarks.loader.peers import OURS
from benchmarks.loader.process import Measurer, PeerFailedError
from benchmarks.loader.work import Work

Row = dict[str, Any]
Say = Callable[[str], None]


@dataclass(frozen=True)
class Protocol:
    """How often and how long; memory is watched in a turn of its own, as watching takes time."""

    rounds: int
    seconds: float
    memory: bool = True


@dataclass
class Turns:
    """What one peer's process answered; `ours` holds the turns of ours beside its own."""

    process: Measurer
    ready: dict[str, Any]
    own: list[dict[str, float]]
    ours: list[dict[str, float]]
    peak_mb: float | None = None


def measure_cell(work: Work, peers: Sequence[str], protocol: Protocol, say: Say) -> dict[str, Turns]:
    """Measure `peers` beside ours; a peer that fails is left out, with a line about why.

    Raises:
        PeerFailedError: when ours does.
    """
    started = {name: Measurer(replace(work, peer=name)) for name in (OURS.name, *peers)}
    try:
        turns = _wait_for_all(started, say)
        for found in turns.values():  # until workers and what they make ahead are in their steady state
            found.process.measure(protocol.seconds)
        for number in range(protocol.rounds):
            names = [name for name in turns if name != OURS.name]
            for name in names if number % 2 == 0 else reversed(names):
                _take_turns(turns, name, protocol.seconds, ours_first=number % 2 == 0, say=say)
        for name in list(turns) if protocol.memory else ():
            turns[name].peak_mb = turns[name].process.peak_mb(protocol.seconds)
        return turns
    finally:
        for process in started.values():
            process.close()


def _wait_for_all(started: dict[str, Measurer], say: Say) -> dict[str, Turns]:
    turns = {}
    for name in started:
        try:
            turns[name] = _wait_for(started, name)
        except PeerFailedError as error:
            if name == OURS.name:
                raise
            say(f"{name}: left out, it failed: {error}")
    return turns


def _wait_for(started: dict[str, Measurer], name: str) -> Turns:
    """Start again what fails once: two runs of Streaming that begin together may take the same name."""
    try:
        return Turns(started[name], started[name].ready(), [], [])
    except PeerFailedError:
        started[name].close()
        started[name] = Measurer(started[name].work)
        return Turns(started[name], started[name].ready(), [], [])


def _take_turns(turns: dict[str, Turns], name: str, seconds: float, ours_first: bool, say: Say) -> None:
    ours, peer = turns[OURS.name], turns[name]
    try:
        if ours_first:
            mine, theirs = ours.process.measure(seconds), peer.process.measure(seconds)
        else:
            theirs, mine = peer.process.measure(seconds), ours.process.measure(seconds)
    except PeerFailedError as error:
        if ours.process.ended():
            raise
        say(f"{name}: left out, it failed: {error}")
        del turns[name]
        return
    ours.own.append(mine)
    peer.ours.append(mine)
    peer.own.append(theirs)


def rows_of_cell(work: Work, name_of_input: str, turns: dict[str, Turns]) -> list[Row]:
    """One row per peer, ours first."""
    return [
        _row(replace(work, peer=name), name_of_input, found) for name, found in turns.items() if found.own
    ]


def _row(work: Work, name_of_input: str, turns: Turns) -> Row:
    pairs = list(zip(turns.ours or turns.own, turns.own, strict=True))
    ratios = [_rate(ours) / _rate(own) for ours, own in pairs]
    cpu = [own["cpu_s"] / own["images"] for own in turns.own]
    return {
        "peer": work.peer,
        "input": name_of_input,
        "level": work.level,
        "output": work.output,
        "threads": work.threads,
        "images_per_s": round(statistics.median(map(_rate, turns.own)), 1),
        "ratio": round(statistics.median(ratios), 3),
        "ratio_min": round(min(ratios), 3),
        "ratio_max": round(max(ratios), 3),
        "max_diff": turns.ready["max_diff"],
        "cpu_s_per_1000": round(1000 * statistics.median(cpu), 3),
        "cpu_ratio": round(_cpu_ratio(pairs), 3),
        "peak_mb": turns.peak_mb and round(turns.peak_mb),
        "first_batch_s": round(turns.ready["first_batch_s"], 3),
    }


def _rate(turn: dict[str, float]) -> float:
    return turn["images"] / turn["seconds"]


def _cpu_ratio(pairs: Sequence[tuple[dict[str, float], dict[str, float]]]) -> float:
    """Processor time per image, theirs over ours: what load from other programs distorts least."""
    return statistics.median(
        (own["cpu_s"] / own["images"]) / (ours["cpu_s"] / ours["images"]) for ours, own in pairs
    )
