"""A model as open_clip loads it from disk, `local-dir:FOLDER`: to score captions with, or to train it there.

    python -m benchmarks.open_clip_folder runs/NAME models/NAME

writes the newest checkpoint of a run; `python -m engine.score --model models/NAME` takes it.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from open_clip.model import CLIP
from safetensors.torch import save_file

from train.architecture import Architecture
from train.checkpoints import load_model
from train.model import Normalisation

CONFIG = "open_clip_config.json"
WEIGHTS = "open_clip_model.safetensors"


def write_folder(folder: Path, architecture: Architecture, normalisation: Normalisation, clip: CLIP) -> None:
    """Writes config and weights of a model built by `train.model.build_clip`."""
    described: dict[str, Any] = {
        "model_cfg": {
            "embed_dim": architecture.embed_dim,
            "vision_cfg": dict(architecture.vision),
            "text_cfg": dict(architecture.text),
            "quick_gelu": architecture.quick_gelu,
        },
        "preprocess_cfg": {
            "mean": normalisation.mean,
            "std": normalisation.std,
            "interpolation": "bicubic",
            "resize_mode": "shortest",
        },
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CONFIG).write_text(json.dumps(described, indent=2) + "\n", encoding="utf-8")
    state = {name: value.detach().contiguous() for name, value in clip.state_dict().items()}
    save_file(state, folder / WEIGHTS)


def main() -> None:
    """Writes the folder of a run's model."""
    parser = argparse.ArgumentParser(description="Write a trained model in open_clip's layout.")
    parser.add_argument("run", type=Path, metavar="RUN", help="a run's folder, or a checkpoint in it")
    parser.add_argument("out", type=Path, metavar="OUT")
    args = parser.parse_args()
    model, card, path = load_model(args.run)
    write_folder(args.out, card.architecture, card.normalisation, model.clip)
    print(f"{path} -> {args.out}")


if __name__ == "__main__":
    main()
