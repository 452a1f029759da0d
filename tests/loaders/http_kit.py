"""A web server on loopback that serves a folder, and misbehaves when asked to."""

from __future__ import annotations

import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TypeVar


class FaultyServer(ThreadingHTTPServer):
    """Serves `folder`; the first `times` answers for each path that ends in `suffix` go through `fault`."""

    daemon_threads = True
    # Requests that hang are the point of some tests.
    block_on_close = False

    def __init__(self, folder: Path, handler: type[Handler] | None = None) -> None:
        super().__init__(("127.0.0.1", 0), handler or Handler)
        self.folder = folder
        self.fault: Callable[[Handler, bytes], None] | None = None
        self.suffix, self.times = ".mds", 0
        self.asked: Counter[str] = Counter()
        self.over = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def misbehave(self, fault: Callable[[Handler, bytes], None], times: int, suffix: str = ".mds") -> None:
        self.fault, self.times, self.suffix = fault, times, suffix

    def fault_for(self, path: str) -> Callable[[Handler, bytes], None] | None:
        """What this answer, already counted in `asked`, goes through."""
        return self.fault if path.endswith(self.suffix) and self.asked[path] <= self.times else None

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that give up are expected."""


class Handler(BaseHTTPRequestHandler):
    server: FaultyServer

    def do_GET(self) -> None:
        path = self.server.folder / self.path.lstrip("/")
        self.server.asked[self.path] += 1
        if not path.is_file():
            return self.send_error(404)
        data = path.read_bytes()
        if fault := self.server.fault_for(self.path):
            return fault(self, data)
        self.answer(data, len(data))

    def answer(self, data: bytes, announced: int | None) -> None:
        self.send_response(200)
        if announced is not None:
            self.send_header("Content-Length", str(announced))
        self.end_headers()
        self.wfile.write(data)
        self.wfile.flush()

    def log_message(self, format: str, *args: object) -> None:
        """Keep quiet."""


def is_silent(handler: Handler, data: bytes) -> None:
    handler.server.over.wait(60)


def stalls(handler: Handler, data: bytes) -> None:
    handler.answer(data[: len(data) // 2], len(data))
    handler.server.over.wait(60)


def trickles(handler: Handler, data: bytes) -> None:
    handler.answer(b"", len(data))
    for at in range(len(data)):
        if handler.server.over.wait(0.02):
            return
        handler.wfile.write(data[at : at + 1])


def is_busy(handler: Handler, data: bytes) -> None:
    handler.send_error(503)


def is_gone(handler: Handler, data: bytes) -> None:
    handler.send_error(404)


def corrupts(handler: Handler, data: bytes) -> None:
    damaged = bytearray(data)
    damaged[len(data) // 2] ^= 1
    handler.answer(bytes(damaged), len(data))


def breaks_off(handler: Handler, data: bytes) -> None:
    handler.answer(data[:-7], len(data))
    handler.close_connection = True


def is_short(handler: Handler, data: bytes) -> None:
    handler.answer(data[:-7], len(data) - 7)


def resets(handler: Handler, data: bytes) -> None:
    handler.answer(data[: len(data) // 3], len(data))
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.close_connection = True
    for end in (handler.rfile, handler.wfile, handler.connection):
        end.close()


def never_ends(handler: Handler, data: bytes) -> None:
    handler.answer(data, None)
    while not handler.server.over.is_set():
        handler.wfile.write(bytes(1 << 16))


@contextmanager
def serving(folder: Path) -> Iterator[FaultyServer]:
    with running(FaultyServer(folder)) as server:
        yield server


Server = TypeVar("Server", bound=FaultyServer)


@contextmanager
def running(server: Server) -> Iterator[Server]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.over.set()
        server.shutdown()
        server.server_close()
        thread.join()
