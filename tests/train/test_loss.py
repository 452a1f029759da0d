"""The loss over ranks is the loss of the whole batch: value and every gradient, against one process."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
import torch.nn.functional as F
from torch.nn.parallel import DistributedDataParallel

from train.loss import contrastive_loss

RANKS, BATCH, WIDTH, DIM = 2, 5, 7, 4


class Towers(torch.nn.Module):
    """Two linear towers and a scale, like CLIP in what matters here."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.image = torch.nn.Linear(WIDTH, DIM, dtype=dtype)
        self.text = torch.nn.Linear(WIDTH, DIM, dtype=dtype)
        self.logit_scale = torch.nn.Parameter(torch.tensor(2.0, dtype=dtype))

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        return F.normalize(self.image(x), dim=-1), F.normalize(self.text(y), dim=-1), self.logit_scale.exp()


def _batch(dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(5)
    return tuple(torch.randn(2, RANKS * BATCH, WIDTH, generator=generator, dtype=dtype))  # type: ignore[return-value]


def _reference(dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """CLIP's pseudo-code (Radford et al. 2021, figure 3), whole batch, no ranks."""
    model = Towers(dtype)
    image, text, scale = model(*_batch(dtype))
    logits = scale * image @ text.T
    target = torch.arange(len(logits))
    loss = (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2
    loss.backward()
    return {"loss": loss.detach(), **{n: p.grad for n, p in model.named_parameters()}}


def _rank(rank: int, dtype: torch.dtype, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=RANKS)
    model = DistributedDataParallel(Towers(dtype))
    own = slice(rank * BATCH, (rank + 1) * BATCH)
    loss = contrastive_loss(*model(*(part[own] for part in _batch(dtype))))
    loss.backward()
    mean = loss.detach().clone()
    dist.all_reduce(mean)
    grads = {n: p.grad for n, p in model.module.named_parameters()}
    torch.save({"loss": mean / RANKS, **grads}, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
def test_two_ranks_equal_the_whole_batch(dtype: torch.dtype, tolerance: float, tmp_path: Path) -> None:
    mp.start_processes(_rank, (dtype, str(tmp_path)), nprocs=RANKS, start_method="fork")
    expected = _reference(dtype)
    for rank in range(RANKS):
        found = torch.load(tmp_path / f"{rank}.pt")
        assert found.keys() == expected.keys()
        for name, value in expected.items():
            torch.testing.assert_close(
                found[name], value, rtol=tolerance, atol=tolerance, msg=f"{rank} {name}"
            )


def test_one_process_equals_the_pseudo_code() -> None:
    model = Towers(torch.float64)
    loss = contrastive_loss(*model(*_batch(torch.float64)))
    torch.testing.assert_close(loss.detach(), _reference(torch.float64)["loss"], rtol=1e-12, atol=0)


def test_logits_stay_float32_under_autocast() -> None:
    image = F.normalize(torch.randn(64, 32), dim=-1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = contrastive_loss(image, image.roll(1, 0), torch.tensor(100.0))
    assert inside.dtype == torch.float32
    assert inside == contrastive_loss(image, image.roll(1, 0), torch.tensor(100.0))
