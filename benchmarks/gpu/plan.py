"""What is measured, the most important first, and what fits into the time that is left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.gpu.board import DROPPED, Board, Row
from benchmarks.gpu.settings import Settings
from benchmarks.gpu.task import FORMS

NATIVE, DALI, TORCHVISION = "native", "dali", "torchvision"
DECODERS = (NATIVE, DALI, TORCHVISION)
PILLOW = "pillow"
PIXELS = ((NATIVE, PILLOW), (DALI, NATIVE), (TORCHVISION, NATIVE), (NATIVE, NATIVE))
"""What is compared with what; native with itself: normalised values with exact 8-bit pixels."""
CEILING, OPEN_CLIP = "ceiling", "open_clip"
SOURCES = (CEILING, NATIVE, DALI, OPEN_CLIP)
SLOW = 4
"""A measurement is ended after so many times what it should take: drivers compile at their first use."""
LEAST_LIMIT_S = 90.0


@dataclass(frozen=True)
class Measurement:
    """Attributes: kind, module that measures; choice, of what; expected_s, imports and all."""

    name: str
    kind: str
    expected_s: float
    choice: dict[str, Any] = field(default_factory=dict)

    @property
    def limit_s(self) -> float:
        """When it is ended."""
        return max(LEAST_LIMIT_S, SLOW * self.expected_s)


def plan(settings: Settings) -> list[Measurement]:
    """All measurements, the most important first: what time does not allow is dropped from the end."""
    first = Round(settings, 1)
    plans = [
        [_pixels(form, *pair) for pair in PIXELS for form in FORMS],
        first.loaders("loader"),
        first.trainings(settings.models, FORMS[0], SOURCES),
        first.loaders("decoder"),
    ]
    if settings.rounds > 1:  # else it is a check that everything runs
        plans += [
            first.sweep(),
            first.trainings(settings.models[:1], FORMS[1], SOURCES[1:]),
            *(own for n in range(2, settings.rounds + 1) for own in Round(settings, n).again()),
            first.loaders("loader", (NATIVE, DALI), "bfloat16"),
        ]
    return [one for own in plans for one in own]


@dataclass(frozen=True)
class Round:
    """A turn of each rival, one after the other; ratios are within a round."""

    settings: Settings
    number: int

    def loaders(
        self, level: str, decoders: Sequence[str] = DECODERS, dtype: str = "uint8"
    ) -> list[Measurement]:
        """With the most threads; level "loader", or "decoder" (the decoder alone)."""
        most = self.settings.threads[-1]
        return [self._loader(level, form, name, most, dtype) for form in FORMS for name in decoders]

    def sweep(self) -> list[Measurement]:
        """With fewer threads."""
        return [
            self._loader("loader", form, decoder, threads, "uint8")
            for form in FORMS
            for threads in self.settings.threads[:-1]
            for decoder in (NATIVE, DALI)
        ]

    def trainings(self, models: Sequence[str], form: str, sources: Sequence[str]) -> list[Measurement]:
        """Of each model."""
        return [self._training(model, form, source) for model in models for source in sources]

    def again(self) -> list[list[Measurement]]:
        """What is worth another round."""
        return [self.loaders("loader"), self.trainings(self.settings.models, FORMS[0], SOURCES)]

    def _loader(self, level: str, form: str, decoder: str, threads: int, dtype: str) -> Measurement:
        choice = {"form": form, "decoder": decoder, "threads": threads, "dtype": dtype, "round": self.number}
        name = f"{level}/{form}/{decoder}/{dtype}/{threads} threads/round {self.number}"
        kind = "throughput" if level == "loader" else "decoding"
        return Measurement(name, kind, 12 + 2 * self.settings.seconds, choice)

    def _training(self, model: str, form: str, source: str) -> Measurement:
        choice = {"model": model, "form": form, "source": source, "round": self.number}
        return Measurement(f"training/{model}/{form}/{source}/round {self.number}", "training", 45, choice)


def _pixels(form: str, decoder: str, reference: str) -> Measurement:
    choice = {"form": form, "decoder": decoder, "reference": reference}
    return Measurement(f"pixels/{form}/{decoder} by {reference}", "pixels", 20, choice)


def fits(measurement: Measurement, board: Board, left_s: float) -> bool:
    """Whether it can be made in the time left: by the last one of its kind, or else by what was expected."""
    like = [row["seconds"] for name, row in board.rows.items() if _is_like(name, measurement.name, row)]
    return (like[-1] if like else measurement.expected_s) <= left_s


def _is_like(name: str, other: str, row: Row) -> bool:
    """The same kind of thing (`loader/small`, `training/ViT-B-16`), and measured."""
    return name.split("/")[:2] == other.split("/")[:2] and "result" in row


def dropped(measurement: Measurement, left_s: float) -> Row:
    """The row of a measurement that there was no time for."""
    return {"status": DROPPED, "reason": f"no time: {max(0.0, left_s):.0f} s were left"}
