"""Contrastive losses over the global batch, each rank computing only its own rows.

With N pairs in the global batch, scale s, unit features x_i (images) and y_j (texts), and logits s x_i y_j:

InfoNCE (Radford et al. 2021, figure 3) is the mean over the 2 N rows of cross-entropy(s x_i Y^T, i) and
cross-entropy(s y_i X^T, i). SigLIP (Zhai et al. 2023, equation 2 and algorithm 1) is the sum over all N^2
pairs of -log sigmoid(z_ij (s x_i y_j + b)), over N; z_ij is 1 for i = j, otherwise -1.

Rank r holds rows r B .. (r + 1) B and computes their mean against all N columns: [B, N] at most, and that a
few rows at a time, so that no rank ever holds [N, N] (one rank alone included). The mean over ranks is the
loss of the global batch.

Gradients: DDP averages parameter gradients over ranks, so rank r's backward must give its own features the
gradient of the sum of all ranks' losses; `GatherRows` does that by summing over ranks on the way back.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from engine.errors import UserError

# Logits held at a time: 64 MiB in float32, of which a few copies exist while their gradient is made.
MAX_LOGITS = 1 << 24


@dataclass(frozen=True)
class LossConfig:
    """What is minimised.

    Attributes:
        name: `infonce` (CLIP) or `siglip` (a learnt bias beside the scale, no softmax).
        label_smoothing: share of each row's target given to all its columns alike; infonce only.
        mask_identical: other pairs whose caption has the same tokens are no negatives.
    """

    name: Literal["infonce", "siglip"] = "infonce"
    label_smoothing: float = 0.0
    mask_identical: bool = False

    def __post_init__(self) -> None:
        """Refuse what has no meaning.

        Raises:
            UserError: naming the setting.
        """
        if not 0 <= self.label_smoothing < 1:
            raise UserError(
                f"loss.label_smoothing: {self.label_smoothing} given; expected a number from 0 to below 1"
            )
        if self.label_smoothing and self.name == "siglip":
            raise UserError(
                "loss.label_smoothing: siglip has no distribution over columns to smooth; leave it out, "
                "or take loss.name=infonce"
            )


@dataclass(frozen=True)
class Pairs:
    """One rank's share of the global batch; every rank has as many pairs.

    Attributes:
        image: unit features [B, D].
        text: unit features [B, D]; row i belongs to image i.
        scale: factor of the cosine similarities, a scalar (exp of the learnt logit scale).
        bias: added to the logits, a scalar; SigLIP only.
        tokens: int64 [B, L] with padding, the same L on every rank; needed for `mask_identical` only.
    """

    image: Tensor
    text: Tensor
    scale: Tensor
    bias: Tensor | None = None
    tokens: Tensor | None = None


def contrastive_loss(pairs: Pairs, config: LossConfig) -> Tensor:
    """The loss of this rank's rows; its mean over ranks is the loss of the global batch.

    Returns:
        Scalar, of float32 at least, also under autocast: at scale 100 a bfloat16 logit is off by up to 0.25.
    """
    with torch.autocast(pairs.image.device.type, enabled=False):
        image, text, scale = _wide(pairs.image), _wide(pairs.text), _wide(pairs.scale)
        captions = None
        if config.mask_identical:
            assert pairs.tokens is not None
            captions = gather_rows(caption_hash(pairs.tokens))
        targets = _Targets(_rank() * len(image), captions)
        if config.name == "siglip":
            assert pairs.bias is not None
            total = _SumOverRows.apply(  # type: ignore[no-untyped-call]
                functools.partial(_sigmoid, targets), image, gather_rows(text), scale, _wide(pairs.bias)
            )
            return torch.as_tensor(total / len(image))
        row_loss = functools.partial(_cross_entropy, targets, config.label_smoothing)
        images, texts = torch.split(
            gather_rows(torch.cat([image, text], 1)), [image.shape[1], text.shape[1]], dim=1
        )
        of_images = _SumOverRows.apply(row_loss, image, texts, scale)  # type: ignore[no-untyped-call]
        of_texts = _SumOverRows.apply(row_loss, text, images, scale)  # type: ignore[no-untyped-call]
        return torch.as_tensor((of_images + of_texts) / (2 * len(image)))


def _wide(tensor: Tensor) -> Tensor:
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


class GatherRows(torch.autograd.Function):
    """Concatenates every rank's [B, ...] rows into [W B, ...]; all ranks' gradients flow to their owner."""

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


def gather_rows(rows: Tensor) -> Tensor:
    """All ranks' rows, ranks in order, with gradients; the rows themselves where there is one rank."""
    if not _distributed():
        return rows
    return torch.as_tensor(GatherRows.apply(rows))  # type: ignore[no-untyped-call]


def _distributed() -> bool:
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def _rank() -> int:
    return dist.get_rank() if _distributed() else 0


def caption_hash(tokens_BL: Tensor) -> Tensor:
    """A number for each caption, equal for equal tokens: int64 [B].

    A multilinear hash with fixed random factors, modulo 2^64. Token ids differ by less than 2^16, so two
    captions that differ share a number with probability 2^-49 at most: at 32,768 captions a batch, one pair
    in a million batches, which would lose it one negative.
    """
    draws = torch.Generator().manual_seed(0x5EED)
    factors = torch.randint(-(2**63), 2**63 - 1, (tokens_BL.shape[1],), generator=draws)
    return (tokens_BL * factors.to(tokens_BL.device)).sum(1)


@dataclass(frozen=True)
class _Targets:
    """Which column is a row's positive and which are no negatives.

    Row i's positive is column `first` + i. `captions` [N] names the captions, or None to mask nothing.
    """

    first: int
    captions: Tensor | None

    def of(self, start: int, logits_CN: Tensor) -> tuple[Tensor, Tensor | None]:
        """Positives [C, 1] of the rows from `start`, and what to leave out [C, N], never a positive."""
        first = self.first + start
        own_C1 = torch.arange(first, first + len(logits_CN), device=logits_CN.device)[:, None]
        if self.captions is None:
            return own_C1, None
        same_CN = self.captions[own_C1] == self.captions
        return own_C1, same_CN.scatter_(1, own_C1, False)


RowLoss = Callable[..., Tensor]


def _cross_entropy(
    targets: _Targets, smoothing: float, start: int, rows_CD: Tensor, columns_ND: Tensor, scale: Tensor
) -> Tensor:
    """Sum over rows of -(1 - e) log p_own - e mean(log p), with p a softmax over the columns that count."""
    logits_CN = (scale * rows_CD) @ columns_ND.T
    own_C1, left_out_CN = targets.of(start, logits_CN)
    counted = torch.full_like(own_C1, len(columns_ND))
    if left_out_CN is not None:
        logits_CN = logits_CN.masked_fill(left_out_CN, -torch.inf)
        counted = counted - left_out_CN.sum(1, keepdim=True)
    loss_C1 = logits_CN.logsumexp(1, keepdim=True) - (1 - smoothing) * logits_CN.gather(1, own_C1)
    if smoothing:
        kept_CN = logits_CN if left_out_CN is None else logits_CN.masked_fill(left_out_CN, 0)
        loss_C1 = loss_C1 - smoothing * kept_CN.sum(1, keepdim=True) / counted
    return loss_C1.sum()


def _sigmoid(
    targets: _Targets, start: int, rows_CD: Tensor, columns_ND: Tensor, scale: Tensor, bias: Tensor
) -> Tensor:
    """Sum over pairs of -log sigmoid(z (s x y + b))."""
    logits_CN = (scale * rows_CD) @ columns_ND.T + bias
    own_C1, left_out_CN = targets.of(start, logits_CN)
    sign_CN = torch.full_like(logits_CN, -1).scatter_(1, own_C1, 1)
    likelihood_CN = F.logsigmoid(sign_CN * logits_CN)
    return -(likelihood_CN if left_out_CN is None else likelihood_CN.masked_fill(left_out_CN, 0)).sum()


class _SumOverRows(torch.autograd.Function):
    """Sum of a loss over rows, at most MAX_LOGITS logits at a time.

    Gradients are made on the way, while a chunk's logits exist; what is kept for the backward pass has the
    size of the features.
    """

    @staticmethod
    def forward(ctx: Any, row_loss: RowLoss, rows_BD: Tensor, *others: Tensor) -> Tensor:
        """Sums row_loss(first row, some rows, *others); others are the columns [N, D] and scalars."""
        size = max(1, MAX_LOGITS // len(others[0]))
        total = rows_BD.new_zeros(())
        of_rows: list[Tensor] = []
        of_others = [torch.zeros_like(other) for other in others]
        for start in range(0, len(rows_BD), size):
            with torch.enable_grad():  # type: ignore[no-untyped-call]
                inputs = [t.detach().requires_grad_() for t in (rows_BD[start : start + size], *others)]
                part = row_loss(start, *inputs)
            total += part.detach()
            if any(ctx.needs_input_grad):
                first, *rest = torch.autograd.grad(part, inputs)
                of_rows.append(first)
                for summed, grad in zip(of_others, rest, strict=True):
                    summed += grad
        if any(ctx.needs_input_grad):
            ctx.save_for_backward(torch.cat(of_rows), *of_others)
        return total

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        """The gradients made in the forward pass, times what follows."""
        return None, *(grads[0] * saved for saved in ctx.saved_tensors)
