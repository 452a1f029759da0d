"""Autocast by Composer's names, on a CPU as well: Composer's Trainer refuses amp_bf16 there."""

from __future__ import annotations

from contextlib import AbstractContextManager

import torch
from composer.core import get_precision_context

from engine.errors import UserError


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
