"""Headless Chromium through chromedriver (W3C WebDriver over HTTP), with the standard library alone."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
AVAILABLE = CHROMIUM is not None and DRIVER is not None
REQUIRED = bool(os.environ.get("VECLIP_REQUIRE_BROWSER"))
_ARGUMENTS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--window-size=1500,1100",
]
_START_S = 60.0
_LAYOUT_S = 5.0


class Browser:
    """One browser with one page; a context manager."""

    def __enter__(self) -> Browser:
        self._profile = tempfile.TemporaryDirectory()
        self._driver = subprocess.Popen(
            [str(DRIVER), "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        self._root = f"http://127.0.0.1:{self._port()}"
        arguments = [*_ARGUMENTS, f"--user-data-dir={self._profile.name}"]
        wanted = {
            "goog:chromeOptions": {"binary": CHROMIUM, "args": arguments},
            "goog:loggingPrefs": {"browser": "ALL"},
        }
        try:
            started = self._call("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
        except BaseException:
            self._stop()
            raise
        self._root += f"/session/{started['sessionId']}"
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._call("DELETE", "", None)
        finally:
            self._stop()

    def _stop(self) -> None:
        self._driver.terminate()
        self._driver.wait()
        if self._driver.stdout is not None:
            self._driver.stdout.close()
        self._profile.cleanup()

    def open(self, page: Path) -> None:
        self._call("POST", "/url", {"url": page.resolve().as_uri()})

    def resize(self, width: int, height: int) -> None:
        """A screen of this size in pixels, also one narrower than a window can be."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        wanted = {"cmd": "Emulation.setDeviceMetricsOverride", "params": size}
        self._call("POST", "/goog/cdp/execute", wanted)
        ends = time.monotonic() + _LAYOUT_S  # the page is laid out again some time after the answer
        while self.run("return window.innerWidth") != width and time.monotonic() < ends:
            time.sleep(0.02)

    def run(self, script: str) -> Any:
        """What the body of a function returns; unlike a page's own scripts it is not held by its policy."""
        return self._call("POST", "/execute/sync", {"script": script, "args": []})

    def log(self) -> list[str]:
        """Messages of the console since the last call."""
        return [entry["message"] for entry in self._call("POST", "/se/log", {"type": "browser"})]

    def screenshot(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self._call("GET", "/screenshot", None)))

    def _port(self) -> int:
        assert self._driver.stdout is not None
        ends = time.monotonic() + _START_S
        while time.monotonic() < ends:
            line = self._driver.stdout.readline()
            if "successfully on port" in line:
                return int(line.rsplit("port", 1)[1].strip(" .\n"))
        raise TimeoutError("chromedriver did not say its port")

    def _call(self, method: str, path: str, body: Any) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            self._root + path, data, {"Content-Type": "application/json"}, method=method
        )
        try:
            with urllib.request.urlopen(request, timeout=_START_S) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            with error:
                raise RuntimeError(error.read().decode()) from None
