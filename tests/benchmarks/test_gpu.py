"""benchmarks.gpu, from drawn images to the report: every kind of measurement once."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

DECODERS = {"native", "dali", "torchvision"}


def bench(device: str, out: Path, *words: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.gpu", "--device", device, "--quick", "--out", str(out)]
    done = subprocess.run([*command, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(out.with_suffix(".json").read_text())
    return found


@pytest.mark.slow
@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_everything_once(tmp_path: Path, device: str) -> None:
    """Of images stored small; originals go the same way."""
    for name in ("torchvision", "open_clip_train", "matplotlib", "nvidia.dali"):
        pytest.importorskip(name)
    only = (
        "small/native by pillow",
        "small/dali",
        "loader/small",
        "decoder/small",
        "small/ceil",
        "small/open",
    )
    out, words = tmp_path / "gpu", ("--work", str(tmp_path / "work"), "--only", *only)
    rows = bench(device, out, *words)["rows"]
    made = {name: row["result"] for name, row in rows.items()}
    assert made["pixels/small/native by pillow"]["equal"] == 16
    pixels = made["pixels/small/dali by native"]
    assert pixels["same_keys"]
    assert pixels["same_boxes"]
    assert pixels["same_captions"]
    assert pixels["right"]
    assert pixels["psnr_min"] >= 38
    assert pixels["psnr_min_bfloat16"] >= 38
    for level in ("loader", "decoder"):
        own = {name.split("/")[2]: row for name, row in made.items() if name.startswith(level)}
        assert own.keys() == DECODERS
        assert all(row["images_per_s"] > 0 and row["cpu_s_per_1000"] > 0 for row in own.values())
    training = {name.split("/")[3]: row for name, row in made.items() if name.startswith("training")}
    assert training.keys() == {"ceiling", "dali", "open_clip"}
    assert all(row["samples_per_s"] > 0 and 0 <= row["data_wait"] < 1 for row in training.values())
    assert out.with_suffix(".svg").read_text().count("<svg") == 1
    assert "| small, small: open_clip | 16 |" in out.with_suffix(".md").read_text()
    again = bench(device, out, *words)["rows"]
    assert again == rows
