"""What decides the scores, and how they are computed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from engine.build.budget import Budget
from engine.captions.ledger import LEDGER_NAME
from engine.sources import SourceOptions

PRECISIONS = ("auto", "fp32", "bf16")
DEVICES = ("auto", "cpu", "cuda")
# By the name of its resize in `eval_batch`.
TRANSFORMS = ("tensorflow",)


@dataclass(frozen=True)
class ModelChoice:
    """A CLIP model.

    Attributes:
        model: a folder (open_clip's or Hugging Face's layout), a name on the Hub (`ORG/NAME`), or a name of
            open_clip's with `pretrained`.
        pretrained: open_clip's tag of the weights, or a file with them.
        revision: of a name on the Hub.
        tokenizer: instead of the model's own: `clip`, a folder or a name on the Hub.
        transform: instead of the model's own: one of `TRANSFORMS`.
    """

    model: str
    pretrained: str | None = None
    revision: str | None = None
    tokenizer: str | None = None
    transform: str | None = None


@dataclass(frozen=True)
class Compute:
    """Where the model runs: `device` is `cpu` or `cuda`, `precision` `fp32` or `bf16` (autocast)."""

    device: str
    precision: str


@dataclass(frozen=True)
class ScoreOptions:
    """Everything that scores follow from, apart from the input itself.

    Attributes:
        source: where samples come from.
        ledgers: folders with further captions.
        sources: caption sources to score; all if empty.
        model: who scores.
    """

    source: SourceOptions
    ledgers: tuple[str, ...]
    sources: tuple[str, ...]
    model: ModelChoice


def caption_ledgers(others: Sequence[str], out: Path) -> tuple[str, ...]:
    """The ledgers whose captions are scored: the one that is written comes last, if it has any."""
    own = [str(out)] if any(out.glob(f"**/{LEDGER_NAME}")) else []
    return (*(name for name in others if Path(name).resolve() != out.resolve()), *own)


@dataclass(frozen=True)
class RunOptions:
    """How scores are computed.

    Attributes:
        ledger: its folder.
        workers: processes, each with a model of its own; None: one on a GPU, one per core on a CPU.
        executor: `local` or `ray`.
        budget: of rejects and of samples without a finite score.
        device, precision: one of `DEVICES` and of `PRECISIONS`; the precision is part of what a score is.
    """

    ledger: Path
    workers: int | None = None
    executor: str = "local"
    budget: Budget = field(default_factory=Budget)
    device: str = "auto"
    precision: str = "auto"
