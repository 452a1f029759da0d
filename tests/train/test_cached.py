"""Microbatches with cached features train as the whole batch does: loss, gradients, alone and over ranks."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch.nn.parallel import DistributedDataParallel

from engine.errors import UserError
from tests.train.kit import BATCH, LOSSES, NORMALISATION, Grads, assert_same, small_batch, small_model, step
from tests.train.run_kit import COMPOSER, command, losses, run
from train.model.contrastive import ContrastiveModel


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("size", [1, 2, 3, 5, BATCH])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
def test_equals_the_whole_batch(dtype: torch.dtype, tolerance: float, size: int, loss: str) -> None:
    expected = step(small_model(loss).to(dtype), small_batch())
    assert_same(step(small_model(loss, microbatch=size).to(dtype), small_batch()), expected, tolerance)
    assert ("clip.logit_bias" in expected) == (loss == "siglip")


def test_patch_dropout_is_on_and_matters() -> None:
    expected = step(small_model().double(), small_batch())
    without = step(small_model(dropout=0.0).double(), small_batch())
    assert (expected["loss"] - without["loss"]).abs() > 1e-4


def test_no_more_than_a_microbatch_goes_through_the_towers() -> None:
    model, seen = small_model(microbatch=3), []
    model.clip.visual.register_forward_hook(lambda _, inputs, __: seen.append(len(inputs[0])))
    step(model, small_batch())
    assert seen == [3, 3, 2, 3, 3, 2]


class Held:
    """Bytes that graphs hold for their backward pass, parameters apart, and their peak."""

    def __init__(self, model: torch.nn.Module) -> None:
        self.parameters = {p.untyped_storage().data_ptr() for p in model.parameters()}
        self.now = self.peak = 0

    def pack(self, tensor: torch.Tensor) -> Any:
        if tensor.untyped_storage().data_ptr() in self.parameters:
            return tensor
        return Kept(self, tensor)


class Kept:
    def __init__(self, held: Held, tensor: torch.Tensor) -> None:
        self.held, self.tensor, self.size = held, tensor, tensor.numel() * tensor.element_size()
        held.now += self.size
        held.peak = max(held.peak, held.now)

    def __del__(self) -> None:
        self.held.now -= self.size


def _peak(size: int | None) -> int:
    model = small_model(microbatch=size)
    held = Held(model)
    unpack = lambda kept: kept.tensor if isinstance(kept, Kept) else kept  # noqa: E731
    with torch.autograd.graph.saved_tensors_hooks(held.pack, unpack):
        step(model, small_batch())
    assert held.now == 0
    return held.peak


def test_memory_is_a_microbatchs() -> None:
    """And of one tower at a time: even less than its share of the whole batch's."""
    one, whole = _peak(1), _peak(None)
    assert one < whole / BATCH
    for size in (2, 4):
        assert _peak(size) == pytest.approx(one * size, rel=0.2)


@pytest.mark.parametrize("locked", ["visual", "transformer"])
def test_a_locked_tower_gets_no_gradient(locked: str) -> None:
    models = [small_model(microbatch=size).double() for size in (None, 3)]
    for model in models:
        getattr(model.clip, locked).requires_grad_(False)
        model.clip.visual.proj.requires_grad_(False)
    expected, found = (step(model, small_batch()) for model in models)
    assert not any(name.startswith(f"clip.{locked}.") for name in found)
    assert_same(found, expected, 1e-10)


def test_gradient_checkpointing_inside() -> None:
    checkpointed = small_model(microbatch=3).double()
    checkpointed.clip.set_grad_checkpointing(True)
    assert_same(step(checkpointed, small_batch()), step(small_model().double(), small_batch()), 1e-10)


@pytest.mark.skipif(torch.cuda.is_available(), reason="the rules for CPUs")
def test_both_passes_are_bfloat16() -> None:
    model, seen = small_model(precision="amp_bf16", microbatch=4), []
    model.clip.visual.conv1.register_forward_hook(lambda _, __, output: seen.append(output.dtype))
    found, expected = step(model, small_batch()), step(small_model(precision="amp_bf16"), small_batch())
    assert seen == [torch.bfloat16] * 4
    for name, value in expected.items():
        assert (found[name] - value).norm() <= 3e-2 * value.norm() + 1e-6, name


def test_a_scaled_loss_has_scaled_gradients() -> None:
    """As fp16's scaler needs it: by a power of two, exactly; and what overflows is seen to."""
    plain, scaled, huge = (small_model(microbatch=3) for _ in range(3))
    for model, factor in ((plain, 1.0), (scaled, 2.0**16), (huge, 1e38)):
        torch.manual_seed(4)
        (model.loss(model(small_batch()), small_batch()) * factor).backward()
    for one, other in zip(plain.parameters(), scaled.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad / 2.0**16, rtol=1e-6, atol=0)
    assert not all(torch.isfinite(p.grad).all() for p in huge.parameters())


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["fp32", "amp_bf16", "amp_fp16"])
def test_on_a_gpu(precision: str) -> None:
    batch = {name: tensor.cuda() for name, tensor in small_batch().items()}
    expected, found = (
        step(small_model(precision=precision, microbatch=size).cuda(), batch) for size in (None, 3)
    )
    tolerance = 1e-4 if precision == "fp32" else 3e-2
    for name, value in expected.items():
        assert (found[name] - value).norm() <= tolerance * value.norm() + 1e-6, name


def test_batch_normalisation_is_refused() -> None:
    clip = small_model().clip
    clip.visual.ln_post = torch.nn.BatchNorm1d(64)
    with pytest.raises(UserError, match="normalises over the batch"):
        ContrastiveModel(clip, NORMALISATION, microbatch=4)


DDP = {"plain": {}, "unused": {"find_unused_parameters": True}, "static": {"static_graph": True}}


def _rank(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    own, results = slice(rank * BATCH // 2, (rank + 1) * BATCH // 2), {}
    for name, options in DDP.items():
        for loss in LOSSES:
            model = small_model(loss, dropout=0.0, microbatch=3).double()
            wrapped = DistributedDataParallel(model, **options)
            for _ in range(2):  # DDP rebuilds its buckets after the first step
                model.zero_grad()
                grads = step(wrapped, small_batch(own))
            dist.all_reduce(grads["loss"])
            grads["loss"] /= 2
            results[name, loss] = grads
    torch.save(results, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def two_ranks(tmp_path_factory: pytest.TempPathFactory) -> list[dict[tuple[str, str], Grads]]:
    folder = tmp_path_factory.mktemp("ranks")
    mp.start_processes(_rank, (str(folder),), nprocs=2, start_method="fork")
    return [torch.load(folder / f"{rank}.pt") for rank in range(2)]


@pytest.mark.filterwarnings("ignore:find_unused_parameters=True was specified")
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("options", DDP)
def test_two_ranks_equal_the_whole_batch(
    options: str, loss: str, two_ranks: list[dict[tuple[str, str], Grads]]
) -> None:
    expected = step(small_model(loss, dropout=0.0).double(), small_batch())
    del expected["next draw"]
    for results in two_ranks:
        found = {name: value for name, value in results[options, loss].items() if name != "next draw"}
        assert_same(found, expected, 1e-10)


SMOOTHED = ["loss.label_smoothing=0.1", "loss.mask_identical=true"]


@pytest.mark.parametrize(
    ("launcher", "loss"),
    [
        pytest.param((sys.executable,), SMOOTHED, id="one-infonce"),
        pytest.param(COMPOSER, ["loss.name=siglip"], id="two-siglip", marks=pytest.mark.slow),
    ],
)
def test_a_run_is_the_same_run(
    place: Path, request: pytest.FixtureRequest, launcher: tuple[str, ...], loss: list[str]
) -> None:
    """Through Composer, with patch dropout: 32 samples a step, 32 or 16 a rank, in microbatches of 5.

    InfoNCE on two ranks: test_option_runs, with a locked tower.
    """
    more = ["retrieval=null", "max_duration=6ba", "model.vision.patch_dropout=0.5", *loss]
    logs = []
    for setting in ("null", "5"):
        name = f"{request.node.callspec.id}-{setting}"
        run(command(place, name, *more, f"device_train_microbatch_size={setting}", launcher=launcher))
        logs.append(losses(place / "runs" / name))
    assert len(logs[0]) == 6
    assert logs[1] == pytest.approx(logs[0], rel=1e-5)
