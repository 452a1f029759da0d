"""A misbehaving front of a real S3 server: passes requests on, but for the answers it spoils."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.loaders.http_kit import FaultyServer, Handler, running

# Of the one connection between two parties, not of what is passed on.
PER_HOP = {"connection", "transfer-encoding", "content-length", "server", "date"}


@contextmanager
def s3_server() -> Iterator[str]:
    """moto's, on loopback; gives its address."""
    moto_server = pytest.importorskip("moto.server")
    server = moto_server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        yield f"http://{host}:{port}"
    finally:
        server.stop()


@contextmanager
def bucket(name: str, endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A client of the server, which everybody finds as they would find any; the bucket is gone afterwards."""
    boto3 = pytest.importorskip("boto3")
    for variable, value in {
        "S3_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(variable, value)
    client = boto3.client("s3", endpoint_url=endpoint)
    client.create_bucket(Bucket=name)
    yield client
    for item in client.list_objects_v2(Bucket=name).get("Contents", []):
        client.delete_object(Bucket=name, Key=item["Key"])
    client.delete_bucket(Bucket=name)
    client.close()


class S3Front(FaultyServer):
    def __init__(self, endpoint: str) -> None:
        super().__init__(Path(), FrontHandler)
        self.upstream = urlsplit(endpoint).netloc


class FrontHandler(Handler):
    server: S3Front

    def do_HEAD(self) -> None:
        status, headers, body = self._upstream()
        self._relay(status, headers, body)

    def do_GET(self) -> None:
        status, headers, body = self._upstream()
        path = urlsplit(self.path).path
        self.server.asked[path] += 1
        fault = self.server.fault_for(path)
        if fault and status == 200:
            return fault(self, body)
        self._relay(status, headers, body)

    def _upstream(self) -> tuple[int, list[tuple[str, str]], bytes]:
        connection = http.client.HTTPConnection(self.server.upstream, timeout=30)
        try:
            connection.request(self.command, self.path, headers=dict(self.headers))
            answer = connection.getresponse()
            return answer.status, answer.getheaders(), answer.read()
        finally:
            connection.close()

    def _relay(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.send_response(status)
        length = next((value for name, value in headers if name.lower() == "content-length"), str(len(body)))
        self.send_header("Content-Length", length)
        for name, value in headers:
            if name.lower() not in PER_HOP:
                self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def in_front_of(endpoint: str) -> Iterator[S3Front]:
    with running(S3Front(endpoint)) as front:
        yield front
