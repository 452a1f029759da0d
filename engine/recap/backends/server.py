"""Any OpenAI-compatible server: `vllm serve` and others."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import time
from collections.abc import Mapping
from typing import Any

import aiohttp

from engine.errors import UserError
from engine.prompts import render
from engine.recap.backends.base import (
    Away,
    Busy,
    Died,
    Failed,
    Refused,
    RequestError,
    TooLong,
    says_too_long,
)
from engine.recap.options import OWN_TEMPLATE, EngineOptions
from engine.recap.requests import PROBE, Completion, Request

CONNECT_S = 10.0
_MOST_ANSWER_BYTES = 4 << 20  # a caption is a few hundred bytes; a server that sends more is not listened to
# Room for what a server's chat template adds to the texts; where they come nearer, the server counts.
_TEMPLATE_TOKENS = 256
_HEALTH_S = 5.0
_KNOCK_S = 0.5  # between two looks whether a server is back
_IMAGE_PLACE = b'"\\u0000"'  # JSON of the only text that is one NUL
_IMAGE_TYPES = {b"\xff\xd8": "jpeg", b"\x89P": "png", b"RI": "webp"}


class ServerBackend:
    """Speaks /v1/chat/completions, or /v1/completions where the template is ours."""

    # A connection can be reset without the request being the reason: two resets with nothing else in flight.
    deaths_alone = 2
    template_hash = ""

    def __init__(self, options: EngineOptions, base_url: str) -> None:
        """Connects to `base_url` (with /v1) when it is opened; `OPENAI_API_KEY` is sent if it is set."""
        self._timeout_s, self._template = options.timeout_s, options.model.template
        self._wait_s = options.patience.silence_s if options.seen else 0.0
        self._url = base_url.rstrip("/")
        self.model = options.model.model or ""
        self.revision = options.model.revision
        key = os.environ.get("OPENAI_API_KEY")
        self._headers = {"Content-Type": "application/json"} | (
            {"Authorization": f"Bearer {key}"} if key else {}
        )
        self._session: aiohttp.ClientSession | None = None
        self._max_tokens: int | None = None  # of prompt and answer together, if the server says
        self._counts = True  # whether the server may know /tokenize, as vLLM does

    async def open(self) -> None:
        """See `Backend`."""
        # None: concurrency is bounded by whoever sends.
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=15)
        timeout = aiohttp.ClientTimeout(total=self._timeout_s, sock_connect=CONNECT_S)
        self._session = aiohttp.ClientSession(connector=connector, timeout=timeout, headers=self._headers)
        models = await self._first_answer(time.monotonic() + self._wait_s)
        names = ", ".join(models) or "none"
        if self.model and self.model not in models:
            raise UserError(f"--model {self.model}: the server has {names}")
        if not self.model and len(models) != 1:
            raise UserError(f"--model: the server has {names}; name one of them")
        self.model = self.model or next(iter(models))
        self._max_tokens = models[self.model]

    async def _first_answer(self, deadline: float) -> dict[str, int | None]:
        while True:
            try:
                return await self._models()
            except (aiohttp.ClientError, TimeoutError, OSError, ValueError, KeyError, TypeError) as error:
                if time.monotonic() >= deadline:
                    raise UserError(
                        f"--base-url {self._url}: GET {self._url}/models failed ({_one_line(error)}); "
                        "expected an OpenAI-compatible server there"
                    ) from error
            await asyncio.sleep(_KNOCK_S)

    async def close(self) -> None:
        """See `Backend`."""
        if self._session is not None:
            await self._session.close()

    async def revive(self) -> bool:
        """See `Backend`: it is whoever started the server that starts it again."""
        try:
            await self.generate(PROBE)
        except RequestError as error:
            return isinstance(error, (Refused, TooLong))
        return True

    async def generate(self, request: Request) -> Completion:
        """See `Backend`."""
        path, body = self._body(request)
        await self._check_length(request, body)
        status, headers, data = await self._post(f"{self._url}{path}", body, request.image)
        if status == 502 or (status == 500 and await self._is_dead()):
            raise Died(f"HTTP {status}: {_start(data)}")
        return _completion(status, headers, data)

    async def _post(
        self, url: str, body: Mapping[str, Any], image: bytes | None = None
    ) -> tuple[int, Mapping[str, str], bytes]:
        assert self._session is not None
        try:
            async with self._session.post(url, data=_encode(body, image)) as response:
                # readexactly is not used: what comes is bounded, however much is announced.
                return response.status, response.headers, await _read(response)
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

    async def _check_length(self, request: Request, body: Mapping[str, Any]) -> None:
        """Nothing where the prompt surely fits or nobody can say; images are left to the server.

        Raises:
            TooLong: the request is not to be sent.
        """
        if self._max_tokens is None or request.image is not None:
            return
        room = self._max_tokens - request.sampling.max_tokens
        # A token is at least a byte.
        if len(f"{request.prompt.system}{request.prompt.user}".encode()) + _TEMPLATE_TOKENS <= room:
            return
        tokens = await self._count(body)
        if tokens is not None and tokens > room:
            raise TooLong(f"{tokens} tokens, room for {room}", room / tokens)

    async def _count(self, body: Mapping[str, Any]) -> int | None:
        """Tokens of a prompt as the server counts them, None if it does not."""
        if not self._counts:
            return None
        asked = {name: body[name] for name in ("model", "prompt", "messages") if name in body}
        status, _, data = await self._post(f"{self._url.removesuffix('/v1')}/tokenize", asked)
        try:
            return int(json.loads(data)["count"]) if status == 200 else None
        except (ValueError, KeyError, TypeError, RecursionError):
            return None
        finally:
            self._counts = status not in (404, 405, 501)

    async def _is_dead(self) -> bool:
        """Whether an error means that the engine behind the server is gone, as vLLM's server ends then."""
        assert self._session is not None
        timeout = aiohttp.ClientTimeout(total=_HEALTH_S)
        try:
            async with self._session.get(
                f"{self._url.removesuffix('/v1')}/health", timeout=timeout
            ) as response:
                return response.status == 503
        except TimeoutError:  # busy is not dead
            return False
        except (aiohttp.ClientError, ConnectionError):
            return True

    async def _models(self) -> dict[str, int | None]:
        """Names of the server's models, and what they read and write at most, in tokens."""
        assert self._session is not None
        async with self._session.get(f"{self._url}/models") as response:
            response.raise_for_status()
            models = json.loads(await _read(response))["data"]
        limits = {str(model["id"]): model.get("max_model_len") for model in models}
        return {name: limit if isinstance(limit, int) else None for name, limit in limits.items()}


def _messages(request: Request) -> list[dict[str, Any]]:
    prompt = request.prompt
    content: Any = prompt.user
    if request.image is not None:
        content = [{"type": "image_url", "image_url": {"url": "\0"}}, {"type": "text", "text": prompt.user}]
    system = [{"role": "system", "content": prompt.system}] if prompt.system else []
    return [*system, {"role": "user", "content": content}]


def _encode(body: Mapping[str, Any], image: bytes | None) -> bytes:
    """The body as JSON; the image is put into its place at the end: JSON would look at each character."""
    text = json.dumps(body).encode()
    if image is None:
        return text
    kind = _IMAGE_TYPES.get(image[:2], "jpeg").encode()
    before, _, after = text.partition(_IMAGE_PLACE)
    return b"".join((before, b'"data:image/', kind, b";base64,", base64.b64encode(image), b'"', after))


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
        kind = TooLong if says_too_long(data.decode(errors="replace")) else Refused
        raise kind(f"HTTP {status}: {_start(data)}")
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
