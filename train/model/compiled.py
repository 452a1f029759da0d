"""torch.compile for the transformer blocks of both towers, in place: all around them stays as it is.

All blocks of a tower share one compiled code, so it starts quickly. Patch dropout, gradient checkpointing,
microbatches (train.model.cached), the hooks of DDP and FSDP, and the loss lie outside.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from open_clip.model import CLIP
from torch import nn

from engine.errors import UserError
from train.model.contrastive import blocks_of

# Codes of one function that torch keeps, 8 by default: both towers' blocks are one function, and each wants
# one code with gradients and one without, and again for another batch size.
MOST_CODES = 32


def compile_blocks(clip: CLIP, backend: str = "inductor") -> None:
    """Compile each transformer block of `clip`; parameters keep their names.

    Texts have as many positions as the longest caption of their batch: their code is for any number.

    Args:
        clip: with vision and text transformers.
        backend: torch.compile's; the others are for tests.

    Raises:
        UserError: a tower without transformer blocks.
    """
    import torch._dynamo

    torch._dynamo.config.recompile_limit = max(MOST_CODES, torch._dynamo.config.recompile_limit)
    for block in blocks_of(clip.visual, "image"):
        _compile(block, backend=backend)
    for block in blocks_of(clip, "text"):
        _compile(block, backend=backend, dynamic=True)


def _compile(block: nn.Module, **options: Any) -> None:
    """Compile what the block computes; its hooks (FSDP's) stay outside, unlike with Module.compile."""
    block.forward = torch.compile(block.forward, **options)


@contextmanager
def eager(clip: CLIP) -> Iterator[None]:
    """Run compiled blocks as they were written: evaluation's batches are not worth codes of their own."""
    blocks = [m for m in clip.modules() if "forward" in vars(m)]
    if not blocks:
        yield
        return
    with torch.compiler.set_stance("force_eager"):
        yield


def require_compiler() -> None:
    """Look for the C++ compiler that torch.compile will call.

    Raises:
        UserError: there is none.
    """
    from torch._inductor import cpp_builder, exc

    try:
        cpp_builder.get_cpp_compiler()
    except exc.InvalidCxxCompiler as error:
        raise UserError(
            "compile: torch.compile needs a C++ compiler, and there is none; install g++, name one in CXX, "
            "or leave compile out"
        ) from error
