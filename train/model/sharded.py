"""FSDP: each rank keeps its part of the towers, of their gradients and of their moments (decision 0157).

The towers' blocks, the rest of the image tower and the word embeddings are sharded. The rest of a CLIP stays
whole on every rank: the parameters that encode_text reads by itself, and the logit scale, a scalar, which
torch's fully_shard refuses. It is small, and its gradients are averaged as DDP would.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from composer.utils import dist
from open_clip.model import CLIP
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from train.model.contrastive import blocks_of


@dataclass(frozen=True)
class FsdpConfig:
    """Fully sharded data parallelism.

    Attributes:
        reshard_after_forward: drop the other ranks' parts after a forward pass and fetch them again for the
            backward pass; false keeps them until then: more memory, less communication.
    """

    reshard_after_forward: bool = True


def shard(clip: CLIP, config: FsdpConfig) -> None:
    """Shard `clip` over all ranks, in place; the optimizer is made afterwards.

    Weights are fetched in their own precision and the towers run under autocast, as with DDP: the numbers are
    the same. Composer sees that the model is sharded and writes checkpoints of whole tensors.

    Raises:
        UserError: a tower that is no transformer.
    """
    kind = clip.logit_scale.device.type
    mesh = init_device_mesh(kind, (dist.get_world_size(),))
    # torch asks for the mean of float32 gradients, which gloo takes for their sum; in float64 torch divides.
    policy = MixedPrecisionPolicy(reduce_dtype=torch.float64 if kind == "cpu" else None)
    blocks = [*blocks_of(clip.visual, "image"), *blocks_of(clip, "text")]
    for module in (*blocks, clip.visual, clip.token_embedding):
        fully_shard(module, mesh=mesh, mp_policy=policy, reshard_after_forward=config.reshard_after_forward)
    for name, parameter in clip.named_parameters():
        if parameter.requires_grad and stays_whole(name):
            parameter.register_hook(_mean_over_ranks)


def stays_whole(name: str) -> bool:
    """Whether `shard` leaves the parameter of that name whole on every rank."""
    return not name.removeprefix("clip.").startswith(("visual.", "transformer.", "token_embedding."))


def _mean_over_ranks(grad: Tensor) -> Tensor:
    total = grad.clone()
    if dist.get_world_size() > 1:
        dist.all_reduce(total)
    return total / dist.get_world_size()


@contextmanager
def gathered(model: nn.Module) -> Iterator[None]:
    """All of the weights on every rank, so that ranks may run the towers as often as each needs."""
    parts: list[Any] = [module for module in model.modules() if isinstance(module, FSDPModule)]
    groups = [part._get_fsdp_state()._fsdp_param_group for part in parts]
    before = [group.post_forward_mesh_info for group in groups]
    for part, group in zip(parts, groups, strict=True):
        group.post_forward_mesh_info = None  # as set_reshard_after_forward(False), which torch 2.7 has not
        part.unshard()
    try:
        yield
    finally:
        for part, group, mesh in zip(parts, groups, before, strict=True):
            group.post_forward_mesh_info = mesh
            part.reshard()


def local(tensor: Tensor) -> Tensor:
    """This rank's part of a sharded tensor, or the tensor."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def full(tensor: Tensor) -> Tensor:
    """A sharded tensor in one piece, on the CPU; or the tensor. All ranks take part."""
    return tensor.full_tensor().cpu() if isinstance(tensor, DTensor) else tensor


def like(tensor: Tensor, parameter: Tensor) -> Tensor:
    """A full tensor on the device of `parameter`, and sharded as it is. All ranks take part."""
    tensor = tensor.to(parameter.device)
    if not isinstance(parameter, DTensor):
        return tensor
    return distribute_tensor(tensor, parameter.device_mesh, parameter.placements)
