"""Captions that models wrote: checks, the ledger, reports."""

from engine.captions.checks import Checked, Inputs, check_caption
from engine.captions.grounding import Grounding, Variety, ground
from engine.captions.repeats import RepeatWindow
from engine.captions.status import CAPTION_STATUS, CaptionStatus

__all__ = [
    "CAPTION_STATUS",
    "CaptionStatus",
    "Checked",
    "Grounding",
    "Inputs",
    "RepeatWindow",
    "Variety",
    "check_caption",
    "ground",
]
