"""vLLM in this process."""

from __future__ import annotations

from engine.errors import UserError
from engine.recap.backends.base import Backend
from engine.recap.options import EngineOptions


def open_vllm(options: EngineOptions) -> Backend:
    """TODO."""
    raise UserError(f"--base-url: expected the URL of an OpenAI-compatible server for {options.model.model}")
