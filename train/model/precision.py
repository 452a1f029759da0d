"""Autocast by Composer's names, on a CPU as well: Composer's Trainer refuses amp_bf16 there."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager

import torch
from composer.core import get_precision_context
from composer.utils import dist

from engine.errors import UserError

# mlfoundations/open_clip, pull request 147: its large models diverged in float16; clipping did not help,
# bfloat16 did.
FP16_NOTE = (
    "note: precision: amp_fp16: large CLIP models diverged in float16 where bfloat16 stayed stable; use "
    "amp_bf16 wherever the GPU has it (Ampere or newer)"
)


def resolve_precision(name: str) -> str:
    """The precision that `auto` stands for here; any other name is returned as it is.

    Raises:
        UserError: for amp_fp16 without a GPU; its loss scaling exists on GPUs only.
    """
    gpu = torch.cuda.is_available()
    if name == "auto":
        return "amp_bf16" if gpu else "fp32"
    if name == "amp_fp16" and not gpu:
        raise UserError("precision: amp_fp16 given, but there is no GPU; expected fp32 or amp_bf16 on a CPU")
    return name


def warn_of_fp16(name: str) -> None:
    """One line on stderr, on rank 0, if a run is to use float16."""
    if name == "amp_fp16" and dist.get_global_rank() == 0:
        print(FP16_NOTE, file=sys.stderr)


def trainer_precision(name: str) -> str:
    """What to tell Composer's Trainer: on a CPU the model enters the autocast by itself."""
    return name if torch.cuda.is_available() else "fp32"


def precision_context(name: str) -> AbstractContextManager[None]:
    """Autocast for a forward pass.

    Args:
        name: fp32, amp_bf16 or amp_fp16.
    """
    if name == "amp_bf16" and not torch.cuda.is_available():
        return torch.autocast("cpu", dtype=torch.bfloat16)
    return get_precision_context(name)
