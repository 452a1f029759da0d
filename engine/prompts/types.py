"""What a prompt is made of, and what is sent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

KINDS = ("vec", "vecap", "laclip")
"""What is asked for: a description of the image, a fusion of AltText and VeC, a rewrite of one caption."""
VARIANTS = ("hardened", "paper", "paper_no_constraints")
"""How it is asked: our default, the papers' words, and those without constraints (VeCLIP, Table 6a)."""


@dataclass(frozen=True)
class PromptInputs:
    """What one request is about.

    `alttext` is the AltText (for `laclip` the caption to rewrite), `vec` the description of the image; an
    empty or missing AltText makes `vecap` a rewrite of VeC alone (the paper's answer to a refusal). `mark`
    quotes data in hardened prompts: `engine.prompts.request_mark`. `examples` are (caption, rewrite) pairs
    for `laclip`.
    """

    alttext: str | None = None
    vec: str | None = None
    mark: str = ""
    examples: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True)
class Prompt:
    """What is sent to a model: `system` is None where the template's own system sentence is meant.

    `form` is the prompt with place holders instead of data, and `hash` its xxh3_128 in hex: equal for all
    requests that were asked in the same words. `mark` must not appear in the output.
    """

    system: str | None
    user: str
    needs_image: bool
    form: str
    hash: str
    mark: str = ""
