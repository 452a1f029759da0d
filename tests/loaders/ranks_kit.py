"""Real ranks for tests: processes with torch.distributed (gloo) and Streaming's own shared memory.

They are forked from a server that has imported the loaders once: a world of four costs no four imports.
"""

from __future__ import annotations

import atexit
import hashlib
import multiprocessing
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext
from typing import Any

from loaders.loader import Batch, CaptionLoader, DataConfig, build_loader

TIMEOUT_S = 120
# A sample of a batch: key, and a hash over its source, token ids and pixels.
Seen = tuple[str, str]


@dataclass(frozen=True)
class World:
    """Ranks, spread evenly over nodes."""

    ranks: int
    nodes: int = 1


def server() -> ForkServerContext:
    """Return what forks processes that have imported the loaders and done nothing else."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.loaders.ranks_kit"])
    return context


def run_world(world: World, job: Callable[..., Any], *arguments: Any) -> list[Any]:
    """Return what `job(*arguments)` returns on each rank, in rank order."""
    context = server()
    port = _free_port()
    pipes, processes = [], []
    for rank in range(world.ranks):
        ours, theirs = context.Pipe()
        process = context.Process(target=_be_rank, args=(world, rank, port, theirs, job, arguments))
        process.start()
        theirs.close()
        pipes.append(ours)
        processes.append(process)
    try:
        return [receive(pipe) for pipe in pipes]
    finally:
        for process in processes:
            process.join(5)
            process.kill()


def receive(pipe: Connection) -> Any:
    if not pipe.poll(TIMEOUT_S):
        raise TimeoutError("a rank did not answer")
    found = pipe.recv()
    if isinstance(found, BaseException):
        raise found
    return found


def _be_rank(
    world: World, rank: int, port: int, pipe: Connection, job: Callable[..., Any], arguments: tuple[Any, ...]
) -> None:
    per_node = world.ranks // world.nodes
    settings = {
        "WORLD_SIZE": world.ranks, "LOCAL_WORLD_SIZE": per_node, "RANK": rank, "LOCAL_RANK": rank % per_node,
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port,
    }  # fmt: skip
    os.environ |= {name: str(value) for name, value in settings.items()}
    # As in a run: here workers would be forked from yet another server, which imports everything anew.
    multiprocessing.set_start_method("fork", force=True)
    try:
        from torch import distributed

        distributed.init_process_group("gloo")
        pipe.send(job(*arguments))
        distributed.barrier()
        distributed.destroy_process_group()
    except BaseException as error:
        pipe.send(RuntimeError(f"rank {rank}: {type(error).__name__}: {error}"))
    finally:
        atexit._run_exitfuncs()  # a forked process ends without: names in shared memory would stay


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def seen(batch: Batch) -> list[Seen]:
    """What each sample of a batch became, in the batch's order."""
    found = []
    for i, key in enumerate(batch["key"]):
        parts = batch["image"][i].contiguous(), batch["text"][i], batch["caption_source"][i]
        found.append((key, hashlib.sha256(b"".join(part.numpy().tobytes() for part in parts)).hexdigest()))
    return found


@dataclass(frozen=True)
class Played:
    """Batches that were seen, an epoch a list, and the state after each."""

    epochs: list[list[list[Seen]]]
    states: list[dict[str, Any]]


def play(config: DataConfig, epochs: int, state: dict[str, Any] | None = None) -> Played:
    """Walk a loader from `state` (or the beginning) to the end of the epoch `epochs` - 1."""
    loader = build_loader(config)
    if state is not None:
        loader.load_state_dict(state)
    played = Played([], [])
    for _ in range(epochs - (state["epoch"] if state else 0)):
        played.epochs.append([])
        for batch in loader:
            played.epochs[-1].append(seen(batch))
            played.states.append(_state(loader))
    return played


def play_from_each(config: DataConfig, epochs: int, states: list[dict[str, Any]]) -> list[Played]:
    """`play` from each of `states`."""
    return [play(config, epochs, state) for state in states]


def _state(loader: CaptionLoader) -> dict[str, Any]:
    state = loader.state_dict()
    assert state is not None
    return state
