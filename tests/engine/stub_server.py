"""A server with scripted answers in a thread: what it says is a function of what it is asked."""

from __future__ import annotations

import asyncio
import hashlib
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from benchmarks.answering_server import Answer, AnsweringServer, Elsewhere, Respond, prompt_of

THINGS = ("dog", "boat", "tower", "horse", "piano", "bridge", "kitchen", "garden", "train", "castle")
DEAD_S = 0.1
PLACES = ("street", "river", "mountain", "forest", "beach", "market", "field", "harbour", "station", "lake")


def identity(asked: dict[str, Any]) -> str:
    """What makes a request this request."""
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()


def number(asked: dict[str, Any], without_seed: bool = False) -> int:
    """A number that is a function of the request, or of all attempts of it alike."""
    if without_seed:
        asked = {key: value for key, value in asked.items() if key != "seed"}
    return int(identity(asked)[:12], 16)


def good_text(asked: dict[str, Any]) -> str:
    """A caption that passes every check, different for different requests."""
    n = number(asked)
    thing, place, other = THINGS[n % 10], PLACES[n // 10 % 10], THINGS[n // 100 % 10]
    return f"A small {thing} near the {place} with a wooden {other} and {n % 900 + 100} red flowers."


def good(asked: dict[str, Any]) -> Answer:
    """Always well; VeCap keeps a word of VeC, as the checks want it."""
    text = good_text(asked)
    if "description: <" in (prompt := prompt_of(asked)):
        vec = prompt.rsplit("description: <", 1)[1].split(">", 1)[1].split("<")[0]
        text = f"{vec.rstrip('.')} in the afternoon sun."
    return Answer(json.dumps({"caption": text}) if '{"caption"' in prompt else text)


@dataclass
class Stub:
    """A running server."""

    url: str
    asked: Counter[str] = field(default_factory=Counter)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    deaths: int = 0
    tasks: list[asyncio.Task[None]] = field(default_factory=list)


@contextmanager
def serving(
    respond: Respond,
    kills: Callable[[dict[str, Any]], bool] = lambda _: False,
    limit: int | None = None,
    elsewhere: Elsewhere = lambda *_: Answer(status=404),
) -> Iterator[Stub]:
    """A server in a thread of this process.

    What `kills` it ends every connection; it comes back after `DEAD_S`. The others: see `AnsweringServer`.
    """
    loop = asyncio.new_event_loop()
    stub = Stub("")

    async def die() -> None:
        stub.deaths += 1
        await server.stop()
        await asyncio.sleep(DEAD_S)
        await server.start(port)

    def counted(asked: dict[str, Any]) -> Any:
        stub.asked[identity(asked)] += 1
        stub.bodies.append(asked)
        if kills(asked):
            stub.tasks.append(loop.create_task(die()))
            return asyncio.sleep(3600, Answer())
        return respond(asked)

    server = AnsweringServer(counted, limit, elsewhere)
    port = loop.run_until_complete(server.start())
    stub.url = f"http://127.0.0.1:{port}/v1"
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield stub
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.run_until_complete(_end(server))
        loop.close()


async def _end(server: AnsweringServer) -> None:
    await server.stop()
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
