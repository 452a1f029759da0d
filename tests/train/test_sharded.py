"""FSDP's steps are DDP's, over two ranks: losses, gradients, norms, weights, averages, evaluation."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from composer.core import Event
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel

from tests.train.kit import BATCH, assert_same, small_batch, small_clip, small_model, step
from train.guard import clip_gradients
from train.model.average import AverageWeights
from train.model.compiled import compile_blocks
from train.model.contrastive import ContrastiveModel, encode_text
from train.model.optim import OptimizerConfig, build_optimizer
from train.model.sharded import FsdpConfig, full, gathered, local, shard, stays_whole

STEPS = 3


def _train(
    rank: int, model: ContrastiveModel, wrapped: torch.nn.Module, optimizer: torch.optim.Optimizer
) -> dict[str, Any]:
    """Losses, norms, the last step's gradients, weights, averages, and features of the averages."""
    average = AverageWeights(model, 2, SimpleNamespace(bad_in_a_row=0))  # type: ignore[arg-type]
    seen: dict[str, Any] = {"losses": [], "norms": []}
    for number in range(STEPS):
        optimizer.zero_grad()
        found = step(wrapped, small_batch(slice(rank * BATCH // 2, (rank + 1) * BATCH // 2), number))
        seen["losses"].append(float(found["loss"]))
        seen["norms"].append(clip_gradients(list(model.parameters()), 1.0))
        optimizer.step()
        average.apply(Event.BATCH_END, None, None)  # type: ignore[arg-type]
    grads = {n: full(p.grad) for n, p in model.named_parameters() if p.grad is not None}
    own = {n: full(p.detach()) for n, p in model.named_parameters()}
    with average.in_use(), gathered(model), torch.inference_mode():
        batch = small_batch()
        for _ in range(rank + 1):  # ranks may evaluate different numbers of batches
            features = model.encode_image(batch["image"]), encode_text(model.clip, batch["text"])
    state = average.state_dict()["weights"]
    other = AverageWeights(model, 2, SimpleNamespace(bad_in_a_row=0))  # type: ignore[arg-type]
    other.load_state_dict(average.state_dict())
    return {
        **seen,
        "whole": {n for n, p in model.named_parameters() if not isinstance(p, DTensor)},
        "held": sum(local(p).numel() for p in model.parameters()),
        "grads": grads,
        "own": own,
        "again": {n: full(p.detach()) for n, p in model.named_parameters()},
        "average": state,
        "loaded": other.state_dict()["weights"],
        "features": dict(zip(("image", "text"), features, strict=True)),
    }


CASES: dict[str, dict[str, Any]] = {
    "float64": {"dtype": torch.float64},
    "float32": {},
    "siglip": {"loss": "siglip"},
    "kept": {"fsdp": FsdpConfig(reshard_after_forward=False)},
    "locked": {"groups": 1},
    "composers": {"optimizer": "decoupled_adamw"},
    "checkpointing": {"checkpointing": True},
    "compiled": {"compile": True},
}


def _both(rank: int, case: dict[str, Any]) -> list[dict[str, Any]]:
    results = []
    for sharded in (False, True):
        model = small_model(case.get("loss", "infonce"), dropout=0.0)
        model.to(case.get("dtype", torch.float32))
        if "groups" in case:
            model.clip.lock_image_tower(unlocked_groups=case["groups"])
        model.clip.set_grad_checkpointing(case.get("checkpointing", False))
        if sharded and case.get("compile"):
            compile_blocks(model.clip, "aot_eager")
        wrapped: torch.nn.Module = model
        if sharded:
            shard(model.clip, case.get("fsdp", FsdpConfig()))
        else:
            wrapped = DistributedDataParallel(model)
        config = OptimizerConfig(case.get("optimizer", "adamw"), lr=2e-3)
        results.append(_train(rank, model, wrapped, build_optimizer(model, config)))
    return results


def _rank(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    torch.save({name: _both(rank, case) for name, case in CASES.items()}, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def two_ranks(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, list[dict[str, Any]]]]:
    folder = tmp_path_factory.mktemp("ranks")
    mp.start_processes(_rank, (str(folder),), nprocs=2, start_method="fork")
    return [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in range(2)]


@pytest.mark.parametrize("case", CASES)
def test_steps_equal_ddps(case: str, two_ranks: list[dict[str, list[dict[str, Any]]]]) -> None:
    tolerance = 1e-10 if case == "float64" else 1e-5
    for results in two_ranks:
        expected, found = results[case]
        assert found["losses"] == pytest.approx(expected["losses"], rel=tolerance)
        assert found["norms"] == pytest.approx(expected["norms"], rel=tolerance)
        assert len(set(expected["losses"])) == STEPS
        for part in ("grads", "own", "average", "features"):
            assert_same(found[part], expected[part], tolerance)
        for name, value in found["own"].items():
            assert torch.equal(value, found["again"][name]), name
        for name, value in found["average"].items():
            assert torch.equal(value, found["loaded"][name]), name


def test_each_rank_holds_its_part(two_ranks: list[dict[str, list[dict[str, Any]]]]) -> None:
    """Of all but what encode_text and the logits use by themselves."""
    whole = {"positional_embedding", "text_projection", "logit_scale", "ln_final.weight", "ln_final.bias"}
    sizes = [results["float32"][1]["held"] for results in two_ranks]
    assert two_ranks[0]["float32"][1]["whole"] == {f"clip.{name}" for name in whole}
    assert whole == {name for name, _ in small_clip().named_parameters() if stays_whole(name)}
    everything = two_ranks[0]["float32"][0]["held"]
    extra = sum(p.numel() for name, p in small_clip().named_parameters() if name in whole)
    assert sum(sizes) == everything + extra
    assert max(sizes) < 0.52 * everything
