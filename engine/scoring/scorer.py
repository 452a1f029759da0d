"""A CLIP model ready to use: pixels and tokens in, features out; those that a scorer gives have length 1."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import UserError
from engine.scoring.files import ModelFiles, find_model, require
from engine.scoring.options import Compute, ModelChoice
from engine.scoring.tokens import TextReader, Tokens
from engine.scoring.transform import ImageTransform
from engine.tokenizers.base import fingerprint_of

if TYPE_CHECKING:
    from torch import Tensor

# Bounds the memory of a forward pass; a batch has at most `engine.build.batches.BATCH_SAMPLES` images.
TEXTS_AT_ONCE = 256

Features = NDArray[np.float32]


@dataclass(frozen=True)
class Loaded:
    """What a library gives of a model.

    Attributes:
        image: pixels float32 `[N, 3, S, S]` to features `[N, D]`.
        text: ids int64 `[M, context]` and mask or None to features `[M, D]`.
        transform: of its images.
        reader: of its texts.
        model: the library's own.
    """

    image: Callable[[Tensor], Tensor]
    text: Callable[[Tensor, Tensor | None], Tensor]
    transform: ImageTransform
    reader: TextReader
    model: Any


class Towers:
    """A model on its device; features are as it gives them."""

    def __init__(self, loaded: Loaded, compute: Compute) -> None:
        """Keeps them."""
        self.transform, self.reader = loaded.transform, loaded.reader
        self._compute, self._loaded = compute, loaded

    def image_features(self, pixels: NDArray[np.float32]) -> Features:
        """float32 `[N, D]`; NaN where the model gives no number."""
        import torch

        return self._features(self._loaded.image, self._moved(torch.from_numpy(pixels)))

    def text_features(self, tokens: Tokens) -> Features:
        """float32 `[M, D]`; NaN where the model gives no number."""
        return np.concatenate([self._features(self._loaded.text, *part) for part in self._chunks(tokens)])

    def _chunks(self, tokens: Tokens) -> Iterator[tuple[Tensor, Tensor | None]]:
        import torch

        for at in range(0, len(tokens.ids), TEXTS_AT_ONCE):
            ids = torch.from_numpy(tokens.ids[at : at + TEXTS_AT_ONCE])
            mask = None if tokens.mask is None else torch.from_numpy(tokens.mask[at : at + TEXTS_AT_ONCE])
            yield self._moved(ids), None if mask is None else self._moved(mask)

    def _moved(self, tensor: Tensor) -> Tensor:
        return tensor.to(self._compute.device, non_blocking=True)

    def _features(self, encode: Callable[..., Tensor], *inputs: Tensor | None) -> Features:
        import torch

        compute = self._compute
        with (
            torch.inference_mode(),
            torch.autocast(compute.device, dtype=torch.bfloat16, enabled=compute.precision == "bf16"),
        ):
            given: Features = self._finished(encode(*inputs).float()).cpu().numpy()
        return given

    def _finished(self, raw: Tensor) -> Tensor:
        return raw


class Scorer(Towers):
    """Features have length 1; says which model it is."""

    def __init__(self, files: ModelFiles, compute: Compute, loaded: Loaded) -> None:
        """Makes the description."""
        super().__init__(loaded, compute)
        deciding = what_decides(files, compute, loaded)
        self.id = fingerprint_of(deciding)[:16]
        self.description: dict[str, Any] = {
            "model": files.name, "revision": files.revision, "id": self.id, **deciding,
        }  # fmt: skip

    def _finished(self, raw: Tensor) -> Tensor:
        import torch

        # Without an epsilon: features of length 0 have no direction, so their score is no number.
        unit: Tensor = raw / torch.linalg.vector_norm(raw, dim=-1, keepdim=True)
        return unit


def what_decides(files: ModelFiles, compute: Compute, loaded: Loaded) -> dict[str, Any]:
    """Everything that a feature follows from, but for a tokenizer that is not among the files."""
    return {
        "kind": files.kind,
        "architecture": files.name if files.folder is None else "",
        "files": files.hashes(),
        "transform": loaded.transform.describe(),
        "context": loaded.reader.context,
        "precision": compute.precision,
    }


def resolve_compute(device: str, precision: str, elsewhere: bool = False) -> Compute:
    """What `auto` stands for here: a GPU and bf16 on it, otherwise the CPU and fp32.

    Args:
        device: as asked for.
        precision: as asked for.
        elsewhere: whether other machines do the work; a GPU that is asked for need not be here then.

    Raises:
        UserError: torch is missing, or a GPU was asked for and there is none.
    """
    require("torch", "a model")
    import torch

    found = torch.cuda.is_available()
    if device == "cuda" and not (found or elsewhere):
        raise UserError("--device cuda: torch finds no GPU; use --device cpu")
    chosen = ("cuda" if found else "cpu") if device == "auto" else device
    return Compute(chosen, ("bf16" if chosen == "cuda" else "fp32") if precision == "auto" else precision)


@lru_cache(maxsize=1)
def open_scorer(choice: ModelChoice, compute: Compute) -> Scorer:
    """This process's model; loading takes longer than scoring most units.

    Raises:
        UserError: it cannot be found or loaded, or has a transform that is not known here.
    """
    return Scorer(*load_model(choice, compute))


def load_model(choice: ModelChoice, compute: Compute) -> tuple[ModelFiles, Compute, Loaded]:
    """A model of another library's, and what it is made of.

    Raises:
        UserError: as `open_scorer`.
    """
    files = find_model(choice)
    if files.kind == "open_clip":
        from engine.scoring.open_clip_model import load
    else:
        from engine.scoring.huggingface_model import load
    exactly()
    return files, compute, with_transform(load(files, choice, compute.device), choice.transform)


def with_transform(loaded: Loaded, fit: str | None) -> Loaded:
    """The model with another resize than its own (one of `TRANSFORMS`); with its own for None."""
    if fit is None:
        return loaded
    return replace(loaded, transform=replace(loaded.transform, fit=fit, shorter=0, filter="bilinear"))


def exactly() -> None:
    """Makes this thread compute the same on any number of cores, and a GPU in float32 where that is asked."""
    import torch

    # One thread: sums of several come in another order, and workers keep the other cores busy.
    torch.set_num_threads(1)
    torch.backends.cudnn.allow_tf32 = False
