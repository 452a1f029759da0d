"""The contrastive loss of CLIP over the global batch, each rank computing only its own rows.

With N pairs in the global batch, scale s, unit features x_i (images) and y_j (texts), the loss (Radford et
al. 2021, figure 3) is the mean over the 2 N rows of cross-entropy(s x_i Y^T, i) and cross-entropy(s y_i X^T,
i). Rank r holds rows r B .. (r + 1) B of both and computes the mean over its 2 B rows against all N columns:
[B, N] twice, never [N, N]. The mean over ranks is the loss above.

Gradients: DDP averages parameter gradients over ranks, so rank r's backward must give its own features the
gradient of the sum of all ranks' losses; `GatherRows` does that by summing over ranks on the way back.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor


class GatherRows(torch.autograd.Function):
    """Concatenates every rank's [B, D] rows into [W B, D]; all ranks' gradients flow back to their owner."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        """All-gather along the first dimension, ranks in order."""
        gathered = rows.new_empty(dist.get_world_size() * rows.shape[0], *rows.shape[1:])
        dist.all_gather_into_tensor(gathered, rows.contiguous())
        return gathered

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        """Sum over ranks, own rows kept: a reduce-scatter."""
        grad = grads[0].contiguous()
        own = grad.shape[0] // dist.get_world_size()
        if dist.get_backend() == "gloo":  # gloo has no reduce-scatter in every torch we support
            dist.all_reduce(grad)
            return grad[dist.get_rank() * own : (dist.get_rank() + 1) * own]
        kept = grad.new_empty(own, *grad.shape[1:])
        dist.reduce_scatter_tensor(kept, grad)
        return kept


def contrastive_loss(image_BD: Tensor, text_BD: Tensor, scale: Tensor) -> Tensor:
    """Symmetric InfoNCE over the global batch.

    Args:
        image_BD: this rank's unit image features [B, D].
        text_BD: this rank's unit text features [B, D]; row i belongs to image i. B is the same on every rank.
        scale: factor of the cosine similarities, a scalar tensor (exp of the learnt logit scale).

    Returns:
        Scalar, the mean over this rank's 2 B rows; its mean over ranks is the loss of the global batch.
        Computed in float32 at least, also under autocast: at scale 100 a bfloat16 logit is off by up to 0.25.
    """
    with torch.autocast(image_BD.device.type, enabled=False):
        wide = torch.promote_types(image_BD.dtype, torch.float32)
        image_BD, text_BD, scale = image_BD.to(wide), text_BD.to(wide), scale.to(wide)
        image_ND, text_ND, first = _gather_pairs(image_BD, text_BD)
        target_B = torch.arange(first, first + len(image_BD), device=image_BD.device)
        of_images = F.cross_entropy(scale * image_BD @ text_ND.T, target_B)
        of_texts = F.cross_entropy(scale * text_BD @ image_ND.T, target_B)
        return (of_images + of_texts) / 2


def _gather_pairs(image_BD: Tensor, text_BD: Tensor) -> tuple[Tensor, Tensor, int]:
    """All ranks' images and texts in one collective, and where this rank's rows begin."""
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return image_BD, text_BD, 0
    both = GatherRows.apply(torch.cat([image_BD, text_BD], dim=1))  # type: ignore[no-untyped-call]
    image_ND, text_ND = both.split([image_BD.shape[1], text_BD.shape[1]], dim=1)
    return image_ND, text_ND, dist.get_rank() * len(image_BD)
