"""What is asked of an engine, and what comes back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from engine.prompts import Prompt


@dataclass(frozen=True)
class Sampling:
    """How tokens are drawn; a temperature of 0 is greedy, and then no other seed gives another answer."""

    temperature: float
    top_p: float
    max_tokens: int


@dataclass(frozen=True)
class Request:
    """One generation.

    Attributes:
        id: hex, a pure function of sample, source, step and attempt: what the request log is keyed by.
        prompt: what is asked.
        image: JPEG, PNG or WebP file if the prompt needs one.
        sampling: how tokens are drawn.
        seed: of this attempt.
    """

    id: str
    prompt: Prompt
    image: bytes | None
    sampling: Sampling
    seed: int


PROBE = Request("probe", Prompt(None, "Write one word.", False, "probe", ""), None, Sampling(0.0, 1.0, 1), 0)
"""What an engine is asked to see whether it works."""


@dataclass(frozen=True)
class Completion:
    """The answer of an engine; `failure` is a code of `REQUEST_STATUS` where the request was set aside."""

    text: str = ""
    finish_reason: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    failure: str = ""

    def to_json(self) -> dict[str, Any]:
        """As the request log has it."""
        return {
            "text": self.text,
            "finish": self.finish_reason,
            "tokens": [self.prompt_tokens, self.completion_tokens],
            "failure": self.failure,
        }


def completion_from_json(obj: Mapping[str, Any]) -> Completion:
    """The inverse of `Completion.to_json`."""
    prompt_tokens, completion_tokens = obj["tokens"]
    return Completion(obj["text"], obj["finish"], prompt_tokens, completion_tokens, obj["failure"])
