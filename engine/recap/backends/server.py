"""Any OpenAI-compatible server: `vllm serve` and others."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Mapping
from typing import Any

import aiohttp

from engine.errors import UserError
from engine.prompts import render
from engine.recap.backends.base import Away, Busy, Died, Failed, Refused, RequestError
from engine.recap.options import OWN_TEMPLATE, EngineOptions
from engine.recap.requests import PROBE, Completion, Request

CONNECT_S = 10.0
_MOST_ANSWER_BYTES = 4 << 20  # a caption is a few hundred bytes; a server that sends more is not listened to
_IMAGE_TYPES = {b"\xff\xd8": "jpeg", b"\x89P": "png", b"RI": "webp"}


class ServerBackend:
    """Speaks /v1/chat/completions, or /v1/completions where the template is ours."""

    # A connection can be reset without the request being the reason: two resets with nothing else in flight.
    deaths_alone = 2
    template_hash = ""

    def __init__(self, options: EngineOptions, base_url: str) -> None:
        """Connects to `base_url` (with /v1) when it is opened; `OPENAI_API_KEY` is sent if it is set."""
        self._timeout_s, self._template = options.timeout_s, options.model.template
        self._url = base_url.rstrip("/")
        self.model = options.model.model or ""
        self.revision = options.model.revision
        key = os.environ.get("OPENAI_API_KEY")
        self._headers = {"Content-Type": "application/json"} | (
            {"Authorization": f"Bearer {key}"} if key else {}
        )
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        """See `Backend`."""
        # None: concurrency is bounded by whoever sends.
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=15)
        timeout = aiohttp.ClientTimeout(total=self._timeout_s, sock_connect=CONNECT_S)
        self._session = aiohttp.ClientSession(connector=connector, timeout=timeout, headers=self._headers)
        try:
            names = await self._models()
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"--base-url {self._url}: GET {self._url}/models failed ({_one_line(error)}); "
                "expected an OpenAI-compatible server there"
            ) from error
        if self.model and self.model not in names:
            raise UserError(f"--model {self.model}: the server has {', '.join(names) or 'none'}")
        if not self.model and len(names) != 1:
            raise UserError(f"--model: the server has {', '.join(names) or 'none'}; name one of them")
        self.model = self.model or names[0]

    async def close(self) -> None:
        """See `Backend`."""
        if self._session is not None:
            await self._session.close()

    async def revive(self) -> bool:
        """See `Backend`: it is whoever started the server that starts it again."""
        try:
            await self.generate(PROBE)
        except RequestError as error:
            return isinstance(error, Refused)
        return True

    async def generate(self, request: Request) -> Completion:
        """See `Backend`."""
        path, body = self._body(request)
        assert self._session is not None
        try:
            async with self._session.post(f"{self._url}{path}", data=json.dumps(body)) as response:
                # readexactly is not used: what comes is bounded, however much is announced.
                data = await _read(response)
                return _completion(response.status, response.headers, data)
        except TimeoutError as error:
            raise Failed("request_timeout", f"no answer in {self._timeout_s:g} s") from error
        except (aiohttp.ClientConnectorError, ConnectionRefusedError) as error:
            raise Away(_one_line(error)) from error
        except (aiohttp.ClientError, ConnectionError) as error:
            raise Died(_one_line(error)) from error

    def _body(self, request: Request) -> tuple[str, dict[str, Any]]:
        body: dict[str, Any] = {
            "model": self.model,
            "max_tokens": request.sampling.max_tokens,
            "temperature": request.sampling.temperature,
            "top_p": request.sampling.top_p,
            "seed": request.seed,
        }
        if self._template == OWN_TEMPLATE:
            return "/chat/completions", {**body, "messages": _messages(request)}
        return "/completions", {**body, "prompt": render(self._template, request.prompt)}

    async def _models(self) -> list[str]:
        assert self._session is not None
        async with self._session.get(f"{self._url}/models") as response:
            response.raise_for_status()
            return [str(model["id"]) for model in json.loads(await _read(response))["data"]]


def _messages(request: Request) -> list[dict[str, Any]]:
    prompt = request.prompt
    content: Any = prompt.user
    if request.image is not None:
        kind = _IMAGE_TYPES.get(request.image[:2], "jpeg")
        url = f"data:image/{kind};base64,{base64.b64encode(request.image).decode()}"
        content = [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": prompt.user}]
    system = [{"role": "system", "content": prompt.system}] if prompt.system else []
    return [*system, {"role": "user", "content": content}]


async def _read(response: aiohttp.ClientResponse) -> bytes:
    data = bytearray()
    async for chunk in response.content.iter_chunked(1 << 16):
        data += chunk
        if len(data) > _MOST_ANSWER_BYTES:
            raise Failed("request_failed", f"an answer of over {_MOST_ANSWER_BYTES:,} bytes")
    return bytes(data)


def _completion(status: int, headers: Mapping[str, str], data: bytes) -> Completion:
    if status in (429, 503):
        raise Busy(f"HTTP {status}", _seconds(headers.get("Retry-After", "")))
    if status in (408, 504):
        raise Failed("request_timeout", f"HTTP {status}")
    if status >= 500:
        raise Failed("request_failed", f"HTTP {status}: {_start(data)}")
    if status in (401, 403, 404):
        raise UserError(f"the server answers HTTP {status}: {_start(data)}; check --base-url, --model, key")
    if status >= 400:
        raise Refused(f"HTTP {status}: {_start(data)}")
    try:
        answer = json.loads(data)
        choice, usage = answer["choices"][0], answer.get("usage") or {}
        text = choice["message"]["content"] if "message" in choice else choice["text"]
        return Completion(
            text if isinstance(text, str) else "",
            str(choice.get("finish_reason") or ""),
            int(usage.get("prompt_tokens") or 0),
            int(usage.get("completion_tokens") or 0),
        )
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError) as error:
        raise Failed("request_failed", f"the answer is not an OpenAI completion: {_start(data)}") from error


def _seconds(text: str) -> float:
    return float(text) if text.isascii() and text.isdigit() else 0.0


def _start(data: bytes) -> str:
    return " ".join(data[:200].decode(errors="replace").split())


def _one_line(error: BaseException) -> str:
    return f"{type(error).__name__} {error}".split("\n")[0].strip()
