"""Ranks see disjoint parts of what one rank sees: the same samples, captions and crops in the same steps."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

from loaders.loader import Batch, DataConfig, build_loader

RANKS = 2
ROOT = Path(__file__).parents[2]


def fingerprints(batch: Batch) -> dict[str, str]:
    """What each sample of a batch became, by key."""
    found = {}
    for i, key in enumerate(batch["key"]):
        parts = batch["image"][i].contiguous(), batch["text"][i], batch["caption_source"][i]
        found[key] = hashlib.sha256(b"".join(part.numpy().tobytes() for part in parts)).hexdigest()
    return found


def steps(folder: str, batch_size: int, workers: int) -> list[dict[str, str]]:
    loader = build_loader(
        DataConfig(folder, batch_size, image_size=8, seed=5, threads=1, num_workers=workers, dtype="uint8")
    )
    return [fingerprints(batch) for _ in range(2) for batch in loader]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def run_ranks(folder: Path, workers: int) -> list[list[dict[str, str]]]:
    shared: dict[str, Any] = {"WORLD_SIZE": RANKS, "LOCAL_WORLD_SIZE": RANKS, "MASTER_PORT": free_port()}
    processes = []
    for rank in range(RANKS):
        env = {k: str(v) for k, v in (shared | {"RANK": rank, "LOCAL_RANK": rank}).items()}
        command = [sys.executable, __file__, str(folder), str(workers)]
        env |= {"MASTER_ADDR": "127.0.0.1", "PYTHONPATH": str(ROOT)}
        processes.append(
            subprocess.Popen(command, env={**os.environ, **env}, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        )
    outputs = [process.communicate(timeout=120)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * RANKS
    return [json.loads(output.splitlines()[-1]) for output in outputs]


def test_two_ranks_share_the_steps_of_one(dataset: Path) -> None:
    alone = steps(str(dataset), 8 * RANKS, 0)
    first, second = run_ranks(dataset, workers=0)
    assert len(alone) == len(first) == len(second)
    for whole, part, other in zip(alone, first, second, strict=True):
        assert len(part) == len(other) == 8
        assert part | other == whole


if __name__ == "__main__":
    print(json.dumps(steps(sys.argv[1], 8, int(sys.argv[2]))))
