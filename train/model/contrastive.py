"""open_clip models, by name or by sizes, fitted to the tokenizer of the data, as a Composer model."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from composer.models import ComposerModel
from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg
from open_clip.transformer import text_global_pool
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from engine.errors import UserError
from train.model.architecture import Architecture
from train.model.cached import encode_twice
from train.model.loss import LossConfig, Pairs, contrastive_loss
from train.model.precision import precision_context


def build_clip(architecture: Architecture, seed: int, device: str | None = None) -> CLIP:
    """A CLIP with open_clip's own random initialisation, the same on every rank for one seed.

    Args:
        architecture: sizes, from `resolve_architecture`.
        seed: of the initial weights; the global random state is left as it was.
        device: where to build; "meta" gives shapes without memory.
    """
    a = architecture
    with torch.random.fork_rng(devices=[]), torch.device(device or "cpu"):
        torch.manual_seed(seed)
        model = CLIP(
            a.embed_dim,
            CLIPVisionCfg(**a.vision),
            CLIPTextCfg(**a.text),
            quick_gelu=a.quick_gelu,
            init_logit_scale=math.log(1 / a.init_temperature),
            init_logit_bias=a.init_logit_bias,
        )
    if a.grad_checkpointing:
        model.set_grad_checkpointing(True)
    return model


def encode_text(model: CLIP, text: Tensor) -> Tensor:
    """Unit text features, without spending time on the padding that all texts of the batch share.

    The towers are causal and pool at the end token, so positions behind the last end token cannot change
    the result:
    cutting them off is exact (tested against `CLIP.encode_text`).

    Args:
        model: with a causal text tower.
        text: int64 [B, context_length], padded behind each end token.

    Returns:
        [B, D].
    """
    return run_text(model, text[:, : text_length(model, text)])


def text_length(model: CLIP, text: Tensor) -> int:
    """How many tokens of each text `encode_text` runs: as many as the longest one needs."""
    return int(needed_tokens(model, text).max())


def needed_tokens(model: CLIP, text: Tensor) -> Tensor:
    """How many tokens the feature of each text depends on, int64 [B]: to its end, or the whole context."""
    if not _can_cut(model):
        return torch.full_like(text[:, 0], text.shape[1])
    if model.text_pool_type == "argmax":
        return text.argmax(dim=1) + 1
    ends: Tensor = (text == model.text_eos_id).int().argmax(dim=1)
    return ends + 1


def _can_cut(model: CLIP) -> bool:
    return model.attn_mask is not None and model.text_pool_type in ("argmax", "eos")


def run_text(model: CLIP, text: Tensor) -> Tensor:
    """Unit text features [B, D] of texts [B, L] that are cut already."""
    return _unit(text_features(model, text))


def text_features(model: CLIP, text: Tensor) -> Tensor:
    """As `run_text`, of any length: as the tower gives them."""
    if not _can_cut(model):
        whole: Tensor = model.encode_text(text)
        return whole
    length = text.shape[1]
    dtype = model.transformer.get_cast_dtype()
    x = model.token_embedding(text).to(dtype) + model.positional_embedding[:length].to(dtype)
    # Contiguous, so that compiled code for any length is that for the whole context as well.
    x = model.transformer(x, attn_mask=model.attn_mask[:length, :length].contiguous())
    x = text_global_pool(model.ln_final(x), text, model.text_pool_type, eos_token_id=model.text_eos_id)
    return _project(model, x)


def blocks_of(tower: nn.Module, name: str) -> nn.ModuleList:
    """The transformer blocks of a tower, first to last.

    Raises:
        UserError: it has none.
    """
    blocks = getattr(getattr(tower, "transformer", None), "resblocks", None)
    if not isinstance(blocks, nn.ModuleList):
        raise UserError(f"the {name} tower has no transformer blocks, which compile, locks and fsdp work on")
    return blocks


def text_parameters(clip: CLIP) -> Iterator[nn.Parameter]:
    """Those of the text tower: all but the image tower's and those of the logits."""
    others = {id(parameter) for parameter in (*clip.visual.parameters(), clip.logit_scale, clip.logit_bias)}
    return (parameter for parameter in clip.parameters() if id(parameter) not in others)


def _unit(features_BD: Tensor) -> Tensor:
    """Rows of length 1, in float32 at least: cosines of bfloat16 rows are off in the third digit."""
    return F.normalize(features_BD.to(torch.promote_types(features_BD.dtype, torch.float32)), dim=-1)


def _project(model: CLIP, x: Tensor) -> Tensor:
    projection = model.text_projection
    if projection is None:
        return x
    projected: Tensor = projection(x) if isinstance(projection, torch.nn.Linear) else x @ projection
    return projected


@dataclass(frozen=True)
class Normalisation:
    """Per channel mean and standard deviation, of values in 0..1."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]


class ContrastiveModel(ComposerModel):
    """CLIP as Composer trains it: forward gives unit features, loss is the global contrastive loss.

    Batches are dicts with `image` [B, 3, S, S] (float, or uint8 to be normalised here) and `text` int64 [B,
    context].
    """

    image_mean: Tensor
    image_std: Tensor

    def __init__(
        self,
        clip: CLIP,
        normalisation: Normalisation,
        precision: str = "fp32",
        loss: LossConfig | None = None,
        microbatch: int | None = None,
        channels_last: bool = False,
    ) -> None:
        """Wrap `clip`; its weights appear in checkpoints as `clip.*`.

        Args:
            clip: with its weights.
            normalisation: of uint8 images.
            precision: of the forward pass.
            loss: by default InfoNCE.
            microbatch: samples whose activations are held at a time (train.model.cached); None: all of the
                batch's.
            channels_last: keep images, and what convolutions see of them, as [B, H, W, 3] in memory.

        Raises:
            UserError: `microbatch` for a tower with batch normalisation.
        """
        super().__init__()
        self.clip, self.precision, self.loss_config = clip, precision, loss or LossConfig()
        self.microbatch = microbatch
        self.image_format = torch.channels_last if channels_last else torch.contiguous_format
        clip.visual.to(memory_format=self.image_format)
        if microbatch is not None and any(isinstance(m, _BatchNorm) for m in clip.modules()):
            raise UserError(
                "device_train_microbatch_size: this model normalises over the batch, so microbatches would "
                "train another one; leave it out, or take one without batch normalisation, such as a ViT"
            )
        self.register_buffer("image_mean", torch.tensor(normalisation.mean).view(3, 1, 1), persistent=False)
        self.register_buffer("image_std", torch.tensor(normalisation.std).view(3, 1, 1), persistent=False)

    def forward(self, batch: Mapping[str, Any]) -> dict[str, Tensor]:
        """Unit features [B, D] of both towers, scale and SigLIP's bias; all of it inside DDP's forward."""
        image = self._encode(self.encode_image, batch["image"], self.clip.visual.parameters())
        text = self._encode(partial(encode_text, self.clip), batch["text"], text_parameters(self.clip))
        outputs = {"image": image, "text": text, "scale": self.clip.logit_scale.exp()}
        if self.clip.logit_bias is not None:
            outputs["bias"] = self.clip.logit_bias.clone()  # DDP takes a bare parameter for unused
        return outputs

    def _encode(
        self, tower: Callable[[Tensor], Tensor], inputs: Tensor, parameters: Iterable[nn.Parameter]
    ) -> Tensor:
        def encode(part: Tensor) -> Tensor:
            with precision_context(self.precision):
                return tower(part)

        if self.microbatch is None or len(inputs) <= self.microbatch:
            return encode(inputs)
        return encode_twice(encode, inputs, self.microbatch, parameters)

    def encode_image(self, image: Tensor) -> Tensor:
        """Unit image features [B, D]."""
        if image.dtype == torch.uint8:
            image = (image.to(torch.float32) / 255 - self.image_mean) / self.image_std
        image = image.to(self.clip.logit_scale.dtype, memory_format=self.image_format)
        return _unit(self.clip.encode_image(image))

    def loss(self, outputs: Mapping[str, Tensor], batch: Mapping[str, Any]) -> Tensor:
        """This rank's share of the contrastive loss over the global batch."""
        return contrastive_loss(Pairs(**outputs, tokens=batch["text"]), self.loss_config)


@contextmanager
def evaluating(model: ContrastiveModel, precision: str) -> Iterator[None]:
    """Evaluation mode, autocast and no graph; afterwards the model is in the mode it was in."""
    was_training = model.training
    model.eval()
    try:
        with torch.inference_mode(), precision_context(precision):
            yield
    finally:
        model.train(was_training)
