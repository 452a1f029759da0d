"""Features of a batch of any size in the memory of a microbatch: computed twice (GradCache, Gao et al. 2021).

Forward: microbatch by microbatch, without a graph; only the features stay. The loss sees all of them at once,
so its negatives are those of the whole batch. Backward: given the gradients of the features, each microbatch
is computed again, now with a graph, and its share of the parameters' gradients added up.

To autograd the whole is one operation from parameters to features. DDP therefore sees each parameter's
gradient once, complete, as it does without microbatches: no `no_sync`, no reentrant hooks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

Encode = Callable[..., tuple[Tensor, ...]]


def encode_twice(
    encode: Encode, inputs: Sequence[Tensor], size: int, module: nn.Module
) -> tuple[Tensor, ...]:
    """encode(*inputs), its activations never held for more than `size` rows.

    Random draws (patch dropout) are repeated in the second pass. While gradients are added up, there is one
    more copy of them than without microbatches.

    Args:
        encode: gives tensors [B, ...] whose row i depends on row i of its inputs alone (no batch
            normalisation); enters its own autocast, as the second pass runs outside the trainer's.
        inputs: tensors [B, ...].
        size: rows of a microbatch; the last may have fewer.
        module: its trainable parameters get gradients.
    """
    trainable = [parameter for parameter in module.parameters() if parameter.requires_grad]
    job = _Job(encode, tuple(inputs), size)
    return tuple(_TwoPasses.apply(job, *trainable))  # type: ignore[no-untyped-call]


@dataclass(frozen=True)
class _Job:
    encode: Encode
    inputs: tuple[Tensor, ...]
    size: int

    def microbatches(self) -> Iterator[tuple[Tensor, ...]]:
        return zip(*(torch.split(tensor, self.size) for tensor in self.inputs), strict=True)

    @property
    def device(self) -> torch.device:
        return self.inputs[0].device


class _TwoPasses(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, job: _Job, *parameters: Tensor) -> tuple[Tensor, ...]:
        """First pass: autograd records nothing inside a Function."""
        ctx.job, ctx.parameters, ctx.draws = job, parameters, []
        features = []
        for microbatch in job.microbatches():
            ctx.draws.append(_random_state(job.device))
            features.append(job.encode(*microbatch))
        return tuple(torch.cat(parts) for parts in zip(*features, strict=True))

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        """Second pass."""
        sums: list[Tensor | None] = [None] * len(ctx.parameters)
        parts = zip(*(torch.split(grad, ctx.job.size) for grad in grads), strict=True)
        for draws, microbatch, part in zip(ctx.draws, ctx.job.microbatches(), parts, strict=True):
            with _replayed(draws, ctx.job.device), torch.enable_grad():  # type: ignore[no-untyped-call]
                features = ctx.job.encode(*microbatch)
            # A locked tower's features have no graph.
            learnt = [i for i, feature in enumerate(features) if feature.requires_grad]
            found = torch.autograd.grad(
                [features[i] for i in learnt], ctx.parameters, [part[i] for i in learnt], allow_unused=True
            )
            sums = [_plus(total, grad) for total, grad in zip(sums, found, strict=True)]
        return None, *sums


def _plus(total: Tensor | None, grad: Tensor | None) -> Tensor | None:
    """The sum of gradients; None is that of a parameter that was not used."""
    if total is None or grad is None:
        return grad if total is None else total
    return total + grad


def _random_state(device: torch.device) -> tuple[Tensor, Tensor | None]:
    """The states of the generators that draw by default: the CPU's and the device's."""
    return torch.get_rng_state(), torch.cuda.get_rng_state(device) if device.type == "cuda" else None


@contextmanager
def _replayed(state: tuple[Tensor, Tensor | None], device: torch.device) -> Iterator[None]:
    """Draws as from `state`; afterwards the generators are where they were."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.set_rng_state(state[0])
        if state[1] is not None:
            torch.cuda.set_rng_state(state[1], device)
        yield
