"""Both towers as ONNX: image.onnx, text.onnx, and model.json, which says how to feed them."""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.errors import UserError
from train.formats.model import Exported, new_folder
from train.keeping.checkpoints import MODEL

IMAGE, TEXT = "image.onnx", "text.onnx"
OPSET = 17
# A batch of two while tracing: with one, operations that depend on the batch could be traced away.
TRACED = 2


class _Image(nn.Module):
    """float32 [N, 3, S, S], normalised -> float32 [N, D], rows of length 1."""

    def __init__(self, model: Exported) -> None:
        super().__init__()
        self.clip = model.clip

    def forward(self, image: Tensor) -> Tensor:
        return F.normalize(self.clip.encode_image(image), dim=-1)


class _Text(nn.Module):
    """int64 [N, context], padded -> float32 [N, D], rows of length 1."""

    def __init__(self, model: Exported) -> None:
        super().__init__()
        self.clip = model.clip

    def forward(self, text: Tensor) -> Tensor:
        return F.normalize(self.clip.encode_text(text), dim=-1)


def write(model: Exported, out: Path, tokenizer: str | None = None) -> None:
    """Write the towers, for batches of any size; cosines and `logit_scale` (in model.json) are the caller's.

    Args:
        model: what to write.
        out: a new folder.
        tokenizer: not needed: texts come as ids.

    Raises:
        UserError: the package onnx is missing, or `out` is not empty.
    """
    if importlib.util.find_spec("onnx") is None:
        raise UserError("the package onnx is not installed; pip install 'veclip-engine[export]'")
    new_folder(out)
    architecture, facts = model.card.architecture, model.card.tokenizer
    size = architecture.image_size
    text = torch.full((TRACED, facts.context_length), facts.pad_id)
    text[:, 0], text[:, 3] = facts.eos_id - 1, facts.eos_id
    _export(_Image(model), (torch.randn(TRACED, 3, size, size),), out / IMAGE, "image")
    _export(_Text(model), (text,), out / TEXT, "text")
    model.card.save(out / MODEL)


def _export(tower: nn.Module, example: Sequence[Tensor], path: Path, name: str) -> None:
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # one kernel, which ONNX does not have
    try:
        with warnings.catch_warnings(), torch.no_grad():
            # What the tracer takes for constants (sizes of the towers) are constants.
            warnings.simplefilter("ignore")
            torch.onnx.export(
                tower.eval(),
                tuple(example),
                str(path),
                input_names=[name],
                output_names=["features"],
                dynamic_axes={name: {0: "batch"}, "features": {0: "batch"}},
                opset_version=OPSET,
                dynamo=False,
            )
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
