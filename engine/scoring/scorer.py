"""A CLIP model ready to score: pixels and tokens in, unit features out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
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
    """

    image: Callable[[Tensor], Tensor]
    text: Callable[[Tensor, Tensor | None], Tensor]
    transform: ImageTransform
    reader: TextReader


class Scorer:
    """A model on its device, with everything that says which one it is."""

    def __init__(self, files: ModelFiles, compute: Compute, loaded: Loaded) -> None:
        """Keeps them and makes the description."""
        self.transform, self.reader = loaded.transform, loaded.reader
        self._compute, self._loaded = compute, loaded
        deciding = {
            "kind": files.kind,
            "architecture": files.name if files.folder is None else "",
            "files": files.hashes(),
            "transform": loaded.transform.describe(),
            "context": loaded.reader.context,
            "precision": compute.precision,
        }
        self.id = fingerprint_of(deciding)[:16]
        self.description: dict[str, Any] = {
            "model": files.name, "revision": files.revision, "id": self.id, **deciding,
        }  # fmt: skip

    def image_features(self, pixels: NDArray[np.float32]) -> Features:
        """float32 `[N, D]` of length 1 each; NaN where the model gives no number."""
        import torch

        return self._unit(self._loaded.image, self._moved(torch.from_numpy(pixels)))

    def text_features(self, tokens: Tokens) -> Features:
        """float32 `[M, D]` of length 1 each; NaN where the model gives no number."""
        return np.concatenate([self._unit(self._loaded.text, *part) for part in self._chunks(tokens)])

    def _chunks(self, tokens: Tokens) -> Iterator[tuple[Tensor, Tensor | None]]:
        import torch

        for at in range(0, len(tokens.ids), TEXTS_AT_ONCE):
            ids = torch.from_numpy(tokens.ids[at : at + TEXTS_AT_ONCE])
            mask = None if tokens.mask is None else torch.from_numpy(tokens.mask[at : at + TEXTS_AT_ONCE])
            yield self._moved(ids), None if mask is None else self._moved(mask)

    def _moved(self, tensor: Tensor) -> Tensor:
        return tensor.to(self._compute.device, non_blocking=True)

    def _unit(self, encode: Callable[..., Tensor], *inputs: Tensor | None) -> Features:
        import torch

        compute = self._compute
        with (
            torch.inference_mode(),
            torch.autocast(compute.device, dtype=torch.bfloat16, enabled=compute.precision == "bf16"),
        ):
            raw = encode(*inputs).float()
        # Without an epsilon: features of length 0 have no direction, so their score is no number.
        unit: Features = (raw / torch.linalg.vector_norm(raw, dim=-1, keepdim=True)).cpu().numpy()
        return unit


def resolve_compute(device: str, precision: str, elsewhere: bool = False) -> Compute:
    """What `auto` stands for here: a GPU and bf16 on it, otherwise the CPU and fp32.

    Args:
        device: as asked for.
        precision: as asked for.
        elsewhere: whether other machines do the work; a GPU that is asked for need not be here then.

    Raises:
        UserError: torch is missing, or a GPU was asked for and there is none.
    """
    require("torch", "engine.score")
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
    import torch

    files = find_model(choice)
    if files.kind == "open_clip":
        from engine.scoring.open_clip_model import load
    else:
        from engine.scoring.huggingface_model import load
    # One thread: sums of several come in another order, and workers keep the other cores busy.
    torch.set_num_threads(1)
    torch.backends.cudnn.allow_tf32 = False
    return Scorer(files, compute, load(files, compute.device))
