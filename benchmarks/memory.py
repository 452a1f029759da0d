"""Peak memory of a training step against the microbatch, and of the loss alone against the global batch.

python -m benchmarks.memory --json memory.json
python -m benchmarks.memory --options --json options.json      the options' time and memory

ViT-B/16 in float32 on the CPU, one process a row: batch 32 in microbatches of 32 (one pass), 8 and 2, then
the losses over 8,192 and 32,768 pairs. Peak is the resident memory that a step adds to what the process
held before it (the weights, 0.6 GB), as the kernel counts it: gradients (0.6 GB) and activations.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

BATCH, SIZES = 32, (32, 8, 2)
PAIRS, WIDTH = (8_192, 32_768), 512
TOKENS = 30
# What --options measures against `none`: arguments of _option.
OPTIONS: dict[str, dict[str, Any]] = {
    "none": {},
    "precision: amp_bf16": {"precision": "amp_bf16"},
    "grad_checkpointing": {"model": {"grad_checkpointing": True}},
    "microbatch 16": {"microbatch": 16},
    "patch_dropout 0.5": {"patch_dropout": 0.5},
    "compile": {"compile": True},
    "channels_last": {"channels_last": True},
    "ema": {"ema": True},
    "lock_image": {"lock": True},
}
ROUNDS = 5
# Large blocks go back to the kernel at once: otherwise holes in malloc's heap count as held.
ENVIRONMENT = {**os.environ, "MALLOC_MMAP_THRESHOLD_": str(1 << 18), "OMP_NUM_THREADS": "1"}


def main() -> None:
    """Run all rows, or one in this process."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows here")
    parser.add_argument("--options", action="store_true", help="measure the options instead")
    parser.add_argument("--row", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.row is not None:
        print(json.dumps(_row(**options.row)))
        return
    settings: list[dict[str, Any]] = [{"size": size} for size in SIZES]
    settings += [{"pairs": pairs, "name": name} for pairs in PAIRS for name in ("infonce", "siglip")]
    if options.options:
        settings = [{"option": name} for name in OPTIONS] + [{"rounds": ROUNDS}]
    rows = []
    for setting in settings:
        command = [sys.executable, "-m", "benchmarks.memory", "--row", json.dumps(setting)]
        rows.append({**setting, **json.loads(subprocess.check_output(command, env=ENVIRONMENT))})
        print(rows[-1], flush=True)
    if options.json is not None:
        options.json.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")


def _row(**setting: Any) -> dict[str, Any]:
    if "rounds" in setting:
        return _rounds(setting["rounds"])
    if "option" in setting:
        step = _option(**OPTIONS[setting["option"]])
        for _ in range(2):  # moments, averages, compilation
            step()
        return _measure(step)
    return _measure(_step(**setting) if "size" in setting else _loss(**setting))


def _rounds(count: int) -> dict[str, Any]:
    """Each option's step takes its turn in each round: median of its time over `none`'s of the round."""
    steps = {name: _option(**option) for name, option in OPTIONS.items()}
    for step in steps.values():
        for _ in range(2):
            step()
    ratios: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(count):
        seconds = {name: _measure(step)["seconds"] for name, step in steps.items()}
        for name, value in seconds.items():
            ratios[name].append(value / seconds["none"])
    return {"ratios": {name: round(statistics.median(values), 2) for name, values in ratios.items()}}


def _option(
    patch_dropout: float = 0.0,
    compile: bool = False,
    ema: bool = False,
    lock: bool = False,
    model: Mapping[str, Any] = MappingProxyType({}),
    **execution: Any,
) -> Callable[[], float]:
    """A whole step of a small model: forward, backward, AdamW, average. 64 images of 112 pixels."""
    from types import SimpleNamespace

    import torch
    from composer.core import Event

    from train.model.architecture import (
        LockImage,
        ModelConfig,
        TextConfig,
        TokenizerFacts,
        VisionConfig,
        resolve_architecture,
    )
    from train.model.average import AverageWeights
    from train.model.compiled import compile_blocks
    from train.model.contrastive import ContrastiveModel, Normalisation, build_clip
    from train.model.optim import OptimizerConfig, build_optimizer
    from train.model.start import lock_towers

    facts = TokenizerFacts("clip", "a" * 64, 77, 49_408, 49_407, 0)
    vision = VisionConfig(112, 6, 192, 16, patch_dropout=patch_dropout)
    config = ModelConfig(embed_dim=256, vision=vision, text=TextConfig(4, 192, 3), **model)
    clip = build_clip(resolve_architecture(config, facts), seed=1)
    if lock:
        lock_towers(clip, replace(config, lock_image=LockImage()))
    if compile:
        compile_blocks(clip)
    trained = ContrastiveModel(clip, Normalisation((0.5,) * 3, (0.5,) * 3), **execution)
    optimizer = build_optimizer(trained, OptimizerConfig())
    average: Any = AverageWeights(trained, 100, SimpleNamespace(bad_in_a_row=0)) if ema else None  # type: ignore[arg-type]
    batch = _batch(64, 112)

    def step() -> float:
        loss = trained.loss(trained(batch), batch)
        torch.autograd.backward(loss)
        optimizer.step()
        optimizer.zero_grad()
        if ema:
            average.apply(Event.BATCH_END, None, None)
        return float(loss)

    return step


def _batch(count: int, side: int) -> dict[str, Any]:
    """Random pixels and captions of TOKENS tokens."""
    import torch

    text = torch.zeros(count, 77, dtype=torch.int64)
    text[:, :TOKENS] = torch.randint(1, 49_407, (count, TOKENS))
    text[:, TOKENS - 1] = 49_407
    return {"image": torch.randint(0, 256, (count, 3, side, side), dtype=torch.uint8), "text": text}


def _step(size: int) -> Callable[[], float]:
    """A forward and backward pass."""
    import torch

    from train.model.architecture import ModelConfig, TokenizerFacts, resolve_architecture
    from train.model.contrastive import ContrastiveModel, Normalisation, build_clip

    facts = TokenizerFacts("clip", "a" * 64, 77, 49_408, 49_407, 0)
    clip = build_clip(resolve_architecture(ModelConfig("ViT-B-16"), facts), seed=1)
    model = ContrastiveModel(clip, Normalisation((0.5,) * 3, (0.5,) * 3), microbatch=size)
    batch = _batch(BATCH, 224)

    def step() -> float:
        loss = model.loss(model(batch), batch)
        torch.autograd.backward(loss)
        return float(loss)

    return step


def _loss(pairs: int, name: str) -> Callable[[], float]:
    """The loss and its gradients, from features, with identical captions masked."""
    import torch

    from loaders.recipe.strict import build
    from train.model.loss import LossConfig, Pairs, contrastive_loss

    image, text = torch.nn.functional.normalize(torch.randn(2, pairs, WIDTH), dim=-1)
    tokens = torch.randint(1, 49_407, (pairs, 77))
    scalars = torch.tensor(10.0), torch.tensor(-10.0)
    share = Pairs(image.requires_grad_(), text.requires_grad_(), *scalars, tokens)
    config = build(LossConfig, {"name": name, "mask_identical": True})

    def step() -> float:
        loss = contrastive_loss(share, config)
        torch.autograd.backward(loss)
        return float(loss)

    return step


def _measure(step: Callable[[], float]) -> dict[str, float]:
    before = _resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    began = time.perf_counter()
    loss = step()
    return {
        "peak_gb": round((_resident("VmHWM") - before) / 1e9, 3),
        "seconds": round(time.perf_counter() - began, 3),
        "loss": loss,
    }


def _resident(field: str) -> int:
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return int(next(line for line in lines if line.startswith(field)).split()[1]) * 1024


if __name__ == "__main__":
    main()
