"""Features of a batch of any size in the memory of a microbatch: computed twice (GradCache, Gao et al. 2021).

Forward: microbatch by microbatch, without a graph; only the features stay. The loss sees all of them at once,
so its negatives are those of the whole batch. Backward: given the gradients of the features, each microbatch
is computed again, now with a graph, and its share of the parameters' gradients added up.

To autograd a tower is one operation from parameters to features. DDP therefore sees each parameter's
gradient once, complete, as it does without microbatches: no `no_sync`, no reentrant hooks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

Encode = Callable[[Tensor], Tensor]


def encode_twice(encode: Encode, inputs: Tensor, size: int, parameters: Iterable[nn.Parameter]) -> Tensor:
    """encode(inputs), its activations never held for more than `size` rows.

    Random draws (patch dropout) are repeated in the second pass, which a locked tower is spared. While
    gradients are added up, there is one more copy of them than without microbatches.

    Args:
        encode: gives a tensor [B, ...] whose row i depends on row i of its input alone (no batch
            normalisation); enters its own autocast, as the second pass runs outside the trainer's.
        inputs: tensor [B, ...].
        size: rows of a microbatch; the last may have fewer.
        parameters: those that `encode` uses; the trainable ones get gradients.
    """
    trainable = [parameter for parameter in parameters if parameter.requires_grad]
    features: Tensor = _TwoPasses.apply(_Job(encode, inputs, size), *trainable)  # type: ignore[no-untyped-call]
    return features


@dataclass(frozen=True)
class _Job:
    encode: Encode
    inputs: Tensor
    size: int

    @property
    def device(self) -> torch.device:
        return self.inputs.device


class _TwoPasses(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, job: _Job, *parameters: Tensor) -> Tensor:
        """First pass: autograd records nothing inside a Function."""
        ctx.job, ctx.parameters, ctx.draws = job, parameters, []
        features = []
        for microbatch in torch.split(job.inputs, job.size):
            ctx.draws.append(_random_state(job.device))
            features.append(job.encode(microbatch))
        return torch.cat(features)

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Second pass."""
        job: _Job = ctx.job
        sums: list[Tensor | None] = [None] * len(ctx.parameters)
        parts = zip(ctx.draws, *(torch.split(x, job.size) for x in (job.inputs, grad)), strict=True)
        for draws, microbatch, part in parts:
            with _replayed(draws, job.device), torch.enable_grad():  # type: ignore[no-untyped-call]
                features = job.encode(microbatch)
            found = torch.autograd.grad(features, ctx.parameters, part, allow_unused=True)
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
