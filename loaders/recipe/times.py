"""Composer's times (500ba, 4096000sp, 2ep, 0.1dur) as optimizer steps of a run."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from fractions import Fraction

from engine.errors import UserError
from loaders.recipe.strict import SettingError

FORM = re.compile(r"(\d+)(ba|sp|ep)|((?:\d+\.?\d*|\.\d+)(?:e-\d+)?)(dur)")


@dataclass(frozen=True)
class RunLength:
    """Counts a run in steps.

    Attributes:
        batch: samples of a step, over all ranks.
        steps_per_epoch: of the training data.
        max_duration: of the run; None where nobody asks for a share of it.
    """

    batch: int
    steps_per_epoch: int
    max_duration: str | None = None

    @property
    def total(self) -> int:
        """Steps of the whole run.

        Raises:
            UserError: without a max_duration, or one that no number of steps follows from.
        """
        if self.max_duration is None or not re.fullmatch(r"\d+(ba|sp|ep)", self.max_duration):
            raise UserError(
                f"max_duration: {self.max_duration!r} given; expected a time such as 15ep, 20000ba or "
                "1000000sp"
            )
        return self.steps(self.max_duration, "max_duration")

    def steps(self, text: str, setting: str) -> int:
        """Return a time in steps, rounded up; exact, whatever the batch.

        Raises:
            UserError: naming the setting, for what is no time.
        """
        value, unit = parse_time(text, setting)
        if unit == "dur":
            return math.ceil(value * self.total)
        of_one = {"ba": Fraction(1), "ep": Fraction(self.steps_per_epoch), "sp": Fraction(1, self.batch)}
        return math.ceil(value * of_one[unit])


def parse_time(text: str, setting: str) -> tuple[Fraction, str]:
    """Return the number and the unit (ba, sp, ep or dur) of a time.

    Raises:
        SettingError: naming the setting.
    """
    match = FORM.fullmatch(text)
    if match is None:
        raise SettingError(setting, f"{text!r} is not a time; write 500ba, 4096000sp, 2ep or 0.1dur")
    return Fraction(match[1] or match[3]), match[2] or match[4]
