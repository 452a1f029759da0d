"""Floating-point operations of a training step, and what a GPU could do: the two sides of MFU.

Model FLOPs utilisation is useful work over what the device could do in the time (Chowdhery et al. 2022,
appendix B). Useful is what forward and backward pass of both towers need once: not activations computed again
(gradient checkpointing, microbatches), and no gradient for frozen parameters. The products of the loss (0.2 %
of ViT-B/16's at a batch of 32,768) and everything that is no matrix product or convolution are left out.

Counted by torch on a model of the same sizes on the meta device, not by a formula: any tower, any part
frozen.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Collection, Sequence
from functools import partial

import torch
from composer.callbacks.speed_monitor import GPU_AVAILABLE_FLOPS
from open_clip.model import CLIP
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from train.model.architecture import Architecture
from train.model.contrastive import build_clip, run_text, text_length

# Words of a GPU's name -> Composer's name for it. H200 and H100 with HBM3 are SXM cards.
DEVICES = (
    (("h200",), "h200-sxm"),
    (("h100", "pcie"), "h100-pcie"),
    (("h100", "hbm3"), "h100-sxm"),
    (("a100",), "a100"),
    (("a10",), "a10"),
    (("v100", "sxm2"), "v100-sxm"),
    (("v100s",), "v100s-pcie"),
    (("v100", "pcie"), "v100-pcie"),
    (("t4",), "t4"),
)


# Towers with batch normalisation refuse one.
SAMPLES = 2


@dataclasses.dataclass(frozen=True)
class StepFlops:
    """Operations of one sample, forward and backward.

    Attributes:
        image: of an image; with patch dropout those of the patches that stay.
        text: coefficients (a, b, c) of a + b L + c L^2 for a text of L tokens run.
    """

    image: float
    text: tuple[float, float, float]

    def of(self, samples: int, tokens: int) -> float:
        """Operations of `samples` pairs whose texts were run with `tokens` tokens each."""
        a, b, c = self.text
        return samples * (self.image + a + b * tokens + c * tokens**2)


def count_flops(architecture: Architecture, frozen: Collection[str] = ()) -> StepFlops:
    """Counts on the meta device; a second or so for the largest models.

    Args:
        architecture: sizes.
        frozen: names of the CLIP's parameters that get no gradient.
    """
    clip = build_clip(dataclasses.replace(architecture, grad_checkpointing=False), seed=0, device="meta")
    for name, parameter in clip.named_parameters():
        parameter.requires_grad_(name not in frozen)
    clip.train()
    side, context = architecture.image_size, int(architecture.text["context_length"])
    image = _count(clip, lambda: clip.encode_image(torch.empty(SAMPLES, 3, side, side, device="meta")))
    lengths = (1, 2, 3) if text_length(clip, torch.zeros(1, context, dtype=torch.int64)) == 1 else (context,)
    texts = [_count(clip, partial(_run_text, clip, length)) for length in lengths]
    return StepFlops(image, _parabola(texts) if len(texts) == 3 else (texts[0], 0.0, 0.0))


def _run_text(clip: CLIP, length: int) -> Tensor:
    return run_text(clip, torch.zeros(SAMPLES, length, dtype=torch.int64, device="meta"))


def _count(clip: CLIP, encode: Callable[[], Tensor]) -> float:
    with FlopCounterMode(display=False) as counter:
        features = encode()
        if features.requires_grad:
            features.sum().backward()  # type: ignore[no-untyped-call]
    clip.zero_grad()
    return float(counter.get_total_flops()) / SAMPLES


def _parabola(values: Sequence[float]) -> tuple[float, float, float]:
    """Coefficients of the one parabola that has these values at 1, 2 and 3."""
    one, two, three = values
    square = (three - 2 * two + one) / 2
    slope = two - one - 3 * square
    return one - slope - square, slope, square


def peak_flops(device: str, precision: str) -> float | None:
    """Dense operations a second that the maker of a GPU promises, or None for one that is not known.

    Args:
        device: as `torch.cuda.get_device_name` says.
        precision: Composer's name; fp32 becomes TF32 where torch was told to use it.
    """
    words = set(re.split("[ -]", device.lower()))
    for parts, name in DEVICES:
        if words.issuperset(parts):
            tf32 = precision == "fp32" and torch.get_float32_matmul_precision() != "highest"
            return GPU_AVAILABLE_FLOPS[name].get("tf32" if tf32 else precision)
    return None
