"""Shards behind http:// and https://, which Streaming's stores leave out."""

from __future__ import annotations

from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import Request, urlopen

from streaming.base.storage import CloudDownloader
from streaming.base.storage.download import DOWNLOADER_MAPPINGS

BLOCK_BYTES = 1 << 20


class HttpDownloader(CloudDownloader):
    """Plain GET, with the proxies and certificates that the environment names."""

    @staticmethod
    def _client_identifier() -> str:
        return "http"

    def clean_up(self) -> None:
        """Keep nothing between downloads."""

    def _validate_remote_path(self, remote: str) -> None:
        """Accept both schemes."""

    def _download_file_impl(self, remote: str, local: str, timeout: float) -> None:
        """Write what `remote` answers to `local`; `timeout` (seconds) is for connecting and each read.

        Raises:
            OSError: when it cannot be reached, answers with an error, or stops before the announced length.
        """
        # What is quoted already stays so.
        request = Request(quote(remote, safe=":/?&=%#[]@!$'()*+,;~"), headers={"Accept-Encoding": "identity"})
        written = 0
        with _open(request, timeout) as answer, open(local, "wb") as file:
            announced = answer.headers.get("Content-Length")
            while block := answer.read1(BLOCK_BYTES):
                written += file.write(block)
        if announced is not None and int(announced) != written:
            raise ConnectionError(f"the answer ended after {written:,} of {int(announced):,} bytes")


def _open(request: Request, timeout: float) -> Any:
    try:
        return urlopen(request, timeout=timeout)
    except HTTPError as error:
        error.close()  # it holds the connection
        raise


def register() -> None:
    """Let Streaming find this store by the scheme of a remote."""
    DOWNLOADER_MAPPINGS.update({"http": HttpDownloader, "https": HttpDownloader})
