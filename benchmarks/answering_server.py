"""An OpenAI-compatible server without a model, for benchmarks and tests: a function says what it answers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

MODEL = "stub"
_ROUNDS = 5  # of the event loop until a connection that was just accepted can be dropped


@dataclass(frozen=True)
class Answer:
    """What is sent back; with `drop`, the connection is closed instead."""

    text: str = ""
    finish_reason: str = "stop"
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    raw: bytes | None = None
    drop: bool = False


Respond = Callable[[dict[str, Any]], Answer | Awaitable[Answer]]
Elsewhere = Callable[[str, dict[str, Any]], Answer]


class Connection(asyncio.Protocol):
    """One kept-alive connection, with as little HTTP as will do: the client is what is measured."""

    def __init__(self, server: AnsweringServer) -> None:
        """One of a server's connections."""
        self._server, self._open = server, server.open_ones
        self._data = bytearray()
        self._transport: asyncio.Transport | None = None
        self._later: asyncio.Future[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keeps the way back."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._open.add(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forgets the connection."""
        assert self._transport is not None
        self._open.discard(self._transport)

    def data_received(self, data: bytes) -> None:
        """Answers every whole request."""
        self._data += data
        while (end := self._data.find(b"\r\n\r\n")) >= 0:
            head = bytes(self._data[:end])
            size = _content_length(head)
            if len(self._data) < end + 4 + size:
                return
            body = bytes(self._data[end + 4 : end + 4 + size])
            del self._data[: end + 4 + size]
            self._request(head, body)

    def _request(self, head: bytes, body: bytes) -> None:
        path = head.split(b" ", 2)[1].decode()
        if path == "/v1/models":
            model = {"id": MODEL} | ({"max_model_len": self._server.limit} if self._server.limit else {})
            return self._send(200, {}, json.dumps({"object": "list", "data": [model]}).encode())
        if not path.endswith("/completions"):
            other = self._server.elsewhere(path, json.loads(body or b"{}"))
            return self._send(other.status, {}, other.raw or b"{}")
        asked = json.loads(body)
        answer = self._server.respond(asked)
        if isinstance(answer, Answer):
            self._answer(asked, answer)
        else:
            self._later = asyncio.ensure_future(self._wait(asked, answer))

    async def _wait(self, asked: dict[str, Any], answer: Awaitable[Answer]) -> None:
        self._answer(asked, await answer)

    def _answer(self, asked: dict[str, Any], answer: Answer) -> None:
        assert self._transport is not None
        if answer.drop:
            return self._transport.abort()
        self._send(answer.status, answer.headers, answer.raw or json.dumps(_body(asked, answer)).encode())

    def _send(self, status: int, headers: dict[str, str], body: bytes) -> None:
        assert self._transport is not None
        lines = [f"HTTP/1.1 {status} X", "Content-Type: application/json", f"Content-Length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        self._transport.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)


def _content_length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0


def _body(asked: dict[str, Any], answer: Answer) -> dict[str, Any]:
    said: dict[str, Any] = {"text": answer.text}
    if "messages" in asked:
        said = {"message": {"role": "assistant", "content": answer.text}}
    usage = {"prompt_tokens": 100, "completion_tokens": len(answer.text.split())}
    choice = {"index": 0, "finish_reason": answer.finish_reason, **said}
    return {"id": "1", "model": MODEL, "choices": [choice], "usage": usage}


def prompt_of(asked: dict[str, Any]) -> str:
    """All text of a request; images are left out."""
    if "prompt" in asked:
        return str(asked["prompt"])
    parts: list[str] = []
    for message in asked["messages"]:
        content = message["content"]
        parts += [content] if isinstance(content, str) else [part.get("text", "") for part in content]
    return "\n".join(parts)


class AnsweringServer:
    """Listens on 127.0.0.1 once it is started."""

    def __init__(
        self, respond: Respond, limit: int | None = None, elsewhere: Elsewhere = lambda *_: Answer(status=404)
    ) -> None:
        """`respond` says what is answered, `limit` is the announced `max_model_len`.

        `elsewhere` answers other paths than those of completions and models, by its status and raw body.
        """
        self.respond, self.limit, self.elsewhere = respond, limit, elsewhere
        self.open_ones: set[asyncio.Transport] = set()
        self._server: asyncio.Server | None = None

    async def start(self, port: int = 0) -> int:
        """Listens; the port."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Connection(self), "127.0.0.1", port)
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Closes the port and drops every connection, as a server does that dies."""
        if self._server is not None:
            self._server.close()
        for _ in range(_ROUNDS):
            for transport in list(self.open_ones):
                transport.abort()
            await asyncio.sleep(0)
