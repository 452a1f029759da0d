"""vLLM in this process: its engine core runs beside it and batches requests continuously."""

from __future__ import annotations

import asyncio
import inspect
import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from engine.errors import UserError
from engine.native import decode_rgb, hash_bytes, hash_file
from engine.prompts import Prompt, render
from engine.recap.backends.base import Away, Died, Failed, Refused, RequestError, TooLong, says_too_long
from engine.recap.options import OWN_TEMPLATE, EngineOptions
from engine.recap.requests import PROBE, Completion, Request

# What vLLM would do on its own account otherwise: talk to the log at length, and to its makers.
_ENVIRONMENT = {"VLLM_LOGGING_LEVEL": "WARNING", "VLLM_NO_USAGE_STATS": "1"}
_HASHED = (".json", ".safetensors", ".bin", ".model")
_DEFAULTS = {"disable_log_stats": True}


def open_vllm(options: EngineOptions) -> VllmBackend:
    """The backend; the model is loaded when it is opened.

    Raises:
        UserError: vLLM is not installed, or no model is named.
    """
    if not options.model.model:
        raise UserError("--model: name a model or its folder, or a server with --base-url")
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    try:
        import vllm  # noqa: F401
    except ImportError as error:
        raise UserError(
            "without --base-url, vLLM is needed, which is not installed here: "
            "pip install 'veclip-engine[recaption]' in a virtual environment of its own"
        ) from error
    return VllmBackend(options, options.model.model)


class VllmBackend:
    """One engine; its death is noticed by every request that it had."""

    # No one else asks this engine: what it had alone when it died is the reason.
    deaths_alone = 1

    def __init__(self, options: EngineOptions, model: str) -> None:
        """Nothing is loaded yet."""
        self._options = options
        self.model, self.revision = model, options.model.revision
        self.template_hash = ""
        self._engine: Any = None
        self._tokenizer: Any = None
        self._number = 0

    async def open(self) -> None:
        """See `Backend`."""
        try:
            await self._load()
        except Exception as error:  # whatever a model's folder makes vLLM raise
            raise UserError(f"--model {self.model}: vLLM cannot load it ({_one_line(error)})") from error
        self.revision = self.revision or self._found_revision()
        own = getattr(self._tokenizer, "chat_template", None)
        if self._options.model.template == OWN_TEMPLATE and not own:
            raise UserError(
                f"--template: the tokenizer of {self.model} has no chat template; name one, e.g. vicuna_v1.1"
            )
        self.template_hash = hash_bytes(str(own).encode(), "xxh3_128") if own else ""

    async def close(self) -> None:
        """See `Backend`."""
        if self._engine is not None:
            with suppress(Exception):  # a dead engine complains
                self._engine.shutdown()
            self._engine = None

    async def revive(self) -> bool:
        """See `Backend`: loads the model again if the engine is dead."""
        try:
            if self._engine is None:
                await self._load()
            await self.generate(PROBE)
        except RequestError as error:
            return isinstance(error, (Refused, TooLong))
        except Exception:  # the next try may find free memory
            return False
        return True

    async def generate(self, request: Request) -> Completion:
        """See `Backend`."""
        if self._engine is None:
            raise Away("the engine is being restarted")
        engine = self._engine
        try:
            return await asyncio.wait_for(self._generate(engine, request), self._options.timeout_s)
        except TimeoutError as error:
            raise Failed("request_timeout", f"no answer in {self._options.timeout_s:g} s") from error
        except (ValueError, TypeError) as error:
            kind = TooLong if says_too_long(str(error)) else Refused
            raise kind(_one_line(error)) from error
        except RequestError:
            raise
        except Exception as error:
            if not (engine.errored or engine is not self._engine):
                raise Failed("request_failed", _one_line(error)) from error
            if engine is self._engine:
                await self.close()
            raise Died(_one_line(error)) from error

    async def _generate(self, engine: Any, request: Request) -> Completion:
        from vllm import SamplingParams

        asked: dict[str, Any] = {"prompt_token_ids": self._tokens(request)}
        if request.image is not None:
            pixels = np.ascontiguousarray(decode_rgb(request.image).transpose(2, 0, 1))  # CHW
            asked["multi_modal_data"] = {"image": pixels}
        sampling = SamplingParams(
            temperature=request.sampling.temperature,
            top_p=request.sampling.top_p,
            max_tokens=request.sampling.max_tokens,
            seed=request.seed,
        )
        self._number += 1  # a request that is tried again needs another id
        last: Any = None
        async for output in engine.generate(asked, sampling, f"{request.id}-{self._number}"):
            last = output
        if last is None:
            raise Failed("request_failed", "no output")
        written, read = last.outputs[0], len(last.prompt_token_ids or ())
        return Completion(written.text, str(written.finish_reason or ""), read, len(written.token_ids))

    def _tokens(self, request: Request) -> list[int]:
        """Token ids of the prompt; of an image the place holder alone, vLLM checks its tokens itself.

        Raises:
            TooLong: nothing was sent.
        """
        # A model's own template writes its start token itself.
        own = self._options.model.template == OWN_TEMPLATE
        text = self._chat(request.prompt) if own else render(self._options.model.template, request.prompt)
        tokens: list[int] = self._tokenizer.encode(text, add_special_tokens=not own)
        room = int(self._engine.model_config.max_model_len) - request.sampling.max_tokens
        if len(tokens) > room:
            raise TooLong(f"{len(tokens)} tokens, room for {room}", room / len(tokens))
        return tokens

    def _chat(self, prompt: Prompt) -> str:
        content: Any = prompt.user
        if prompt.needs_image:
            content = [{"type": "image"}, {"type": "text", "text": prompt.user}]
        system = [{"role": "system", "content": prompt.system}] if prompt.system else []
        messages = [*system, {"role": "user", "content": content}]
        return str(self._tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))

    async def _load(self) -> None:
        from vllm.engine.arg_utils import AsyncEngineArgs
        from vllm.v1.engine.async_llm import AsyncLLM

        options = self._options
        arguments = AsyncEngineArgs(
            model=self.model,
            revision=options.model.revision or None,
            trust_remote_code=False,
            tensor_parallel_size=options.tensor_parallel,
            **{**_DEFAULTS, **_for_cpu(), **json.loads(options.engine_args)},
        )
        self._engine = AsyncLLM.from_engine_args(arguments)
        tokenizer = self._engine.get_tokenizer()
        self._tokenizer = await tokenizer if inspect.isawaitable(tokenizer) else tokenizer

    def _found_revision(self) -> str:
        """The commit of a model by name; a hash of the files of a model in a folder."""
        folder = Path(self.model)
        if folder.is_dir():
            files = sorted(file for file in folder.iterdir() if file.suffix in _HASHED)
            return hash_bytes("".join(hash_file(file, "xxh3_64") for file in files).encode(), "xxh3_128")
        config = self._engine.vllm_config.model_config.hf_config
        return str(getattr(config, "_commit_hash", None) or "")


def _for_cpu() -> dict[str, Any]:
    """On a CPU, vLLM (0.32) dies of a prompt that is read in several pieces if its request has a seed."""
    from vllm.platforms import current_platform

    return {"enable_chunked_prefill": False} if current_platform.is_cpu() else {}


def _one_line(error: BaseException) -> str:
    return f"{type(error).__name__} {error}".split("\n")[0].strip()
