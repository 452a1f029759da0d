"""A request that kills vLLM: a logits processor that ends its process when a certain prompt comes.

Given to vLLM as `vllm_poison:Poison`; VECLIP_POISON is a regular expression for the prompt.
"""

from __future__ import annotations

import os
import re
import signal
from typing import Any

from transformers import AutoTokenizer
from vllm.v1.sample.logits_processor import BatchUpdate, LogitsProcessor


class Poison(LogitsProcessor):
    """Leaves logits alone."""

    def __init__(self, vllm_config: Any, _device: Any, _is_pin_memory: bool) -> None:
        self._tokenizer = AutoTokenizer.from_pretrained(vllm_config.model_config.tokenizer)
        self._words = re.compile(os.environ["VECLIP_POISON"], re.DOTALL)

    def is_argmax_invariant(self) -> bool:
        return True

    def apply(self, logits: Any) -> Any:
        return logits

    def update_state(self, batch_update: BatchUpdate | None) -> None:
        for _, _, prompt, _ in batch_update.added if batch_update else ():
            if self._words.search(self._tokenizer.decode(prompt or [])):
                os.kill(os.getpid(), signal.SIGKILL)
