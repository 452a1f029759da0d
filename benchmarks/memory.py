"""Peak memory of a training step against the microbatch, and of the loss alone against the global batch.

python -m benchmarks.memory --json memory.json

ViT-B/16 in float32 on the CPU, one process a row: batch 32 in microbatches of 32 (one pass), 8 and 2, then
the losses over 8,192 and 32,768 pairs. Peak is the resident memory that a step adds to what the process
held before it (the weights, 0.6 GB), as the kernel counts it: gradients (0.6 GB) and activations.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

BATCH, SIZES = 32, (32, 8, 2)
PAIRS, WIDTH = (8_192, 32_768), 512
TOKENS = 30
# Large blocks go back to the kernel at once: otherwise holes in malloc's heap count as held.
ENVIRONMENT = {**os.environ, "MALLOC_MMAP_THRESHOLD_": str(1 << 18), "OMP_NUM_THREADS": "1"}


def main() -> None:
    """Run all rows, or one in this process."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows here")
    parser.add_argument("--row", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.row is not None:
        print(json.dumps(_measure(_step(**options.row) if "size" in options.row else _loss(**options.row))))
        return
    settings: list[dict[str, Any]] = [{"size": size} for size in SIZES]
    settings += [{"pairs": pairs, "name": name} for pairs in PAIRS for name in ("infonce", "siglip")]
    rows = []
    for setting in settings:
        command = [sys.executable, "-m", "benchmarks.memory", "--row", json.dumps(setting)]
        rows.append({**setting, **json.loads(subprocess.check_output(command, env=ENVIRONMENT))})
        print(rows[-1], flush=True)
    if options.json is not None:
        options.json.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")


def _step(size: int) -> Callable[[], float]:
    """A forward and backward pass."""
    import torch

    from train.architecture import ModelConfig, TokenizerFacts, resolve_architecture
    from train.model import ContrastiveModel, Normalisation, build_clip

    facts = TokenizerFacts("clip", "a" * 64, 77, 49_408, 49_407, 0)
    clip = build_clip(resolve_architecture(ModelConfig("ViT-B-16"), facts), seed=1)
    model = ContrastiveModel(clip, Normalisation((0.5,) * 3, (0.5,) * 3), microbatch=size)
    text = torch.zeros(BATCH, 77, dtype=torch.int64)
    text[:, :TOKENS] = torch.randint(1, 49_407, (BATCH, TOKENS))
    text[:, TOKENS - 1] = facts.eos_id
    batch = {"image": torch.randint(0, 256, (BATCH, 3, 224, 224), dtype=torch.uint8), "text": text}

    def step() -> float:
        loss = model.loss(model(batch), batch)
        torch.autograd.backward(loss)
        return float(loss)

    return step


def _loss(pairs: int, name: str) -> Callable[[], float]:
    """The loss and its gradients, from features, with identical captions masked."""
    import torch

    from loaders.recipe.strict import build
    from train.loss import LossConfig, Pairs, contrastive_loss

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
        "peak_gb": round((_resident("VmHWM") - before) / 1e9, 2),
        "seconds": round(time.perf_counter() - began, 1),
        "loss": loss,
    }


def _resident(field: str) -> int:
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return int(next(line for line in lines if line.startswith(field)).split()[1]) * 1024


if __name__ == "__main__":
    main()
