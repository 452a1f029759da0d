"""What decides a ledger's rows, and how they are computed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from engine.recap.delivery import Patience
from engine.recap.requests import Sampling
from engine.sources import SourceOptions

MODES = ("vec", "vecap", "laclip", "all")
# LLaVA reads 336 pixels; larger images would only be sent for nothing.
IMAGE_PX = 336
# VeCLIP cuts AltText "to the maximum allowable length" and names no number; Vicuna-1.1 has 2,048 in all.
PROMPT_TOKENS = 384
SAMPLINGS = {
    "vec": Sampling(0.2, 1.0, 77),  # LLaVA's own default temperature; CLIP reads 77 tokens
    "vecap": Sampling(0.7, 1.0, 96),  # VeCLIP names none; this is FastChat's default
    "laclip": Sampling(0.9, 0.95, 96),  # LaCLIP's script: 77 tokens, and the JSON around them
}
OWN_TEMPLATE = "own"
"""The chat template of the server or of the tokenizer."""
EXAMPLE_PAIRS = 3  # LaCLIP's script shows three


@dataclass(frozen=True)
class Stage:
    """One source to fill: `vec`, `vecap` or `rewrite/<pack>`; `pack` is the packs' name or file."""

    source: str
    kind: str
    pack: str = ""


@dataclass(frozen=True)
class ModelOptions:
    """Who is asked. `model` is a name or folder, None for a server's only one; `template` a name or `own`."""

    model: str | None = None
    revision: str = ""
    template: str = OWN_TEMPLATE


@dataclass(frozen=True)
class RecaptionOptions:
    """Everything that the rows of one source follow from, apart from the input itself.

    Attributes:
        source: where samples come from.
        stage: what is made.
        model: who is asked.
        prompt: a variant of `engine.prompts`.
        sampling: how tokens are drawn.
        seed: of all requests, marks and choices.
        image_px: shorter side that larger images are reduced to.
        prompt_tokens: AltText is cut so that AltText and VeC have at most so many together.
        alttext: name of the caption source that holds AltTexts.
        ledgers: folders with VeC, besides the ledger that is written.
    """

    source: SourceOptions
    stage: Stage
    model: ModelOptions
    prompt: str
    sampling: Sampling
    seed: int = 0
    image_px: int = IMAGE_PX
    prompt_tokens: int = PROMPT_TOKENS
    alttext: str = "alttext"
    ledgers: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As `ledger.json` has them: plain JSON values."""
        plain: dict[str, Any] = _plain(asdict(self))
        return plain


@dataclass(frozen=True)
class EngineOptions:
    """How requests are answered; nothing in here decides a row.

    Attributes:
        base_url: of a server; None for vLLM in this process.
        model: see `ModelOptions`.
        concurrency: requests in flight.
        timeout_s: for one answer.
        patience: with failures.
        tensor_parallel: GPUs of one engine in this process.
        engine_args: further arguments of vLLM's engine in this process.
        seen: whether the server answered before: then a new worker waits for it to come back.
        meeting_place: folder where all who ask the server see each other; None if they are on one machine.
    """

    base_url: str | None
    model: ModelOptions
    concurrency: int = 64
    timeout_s: float = 120.0
    patience: Patience = field(default_factory=Patience)
    tensor_parallel: int = 1
    engine_args: str = "{}"
    seen: bool = False
    meeting_place: Path | None = None


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value
