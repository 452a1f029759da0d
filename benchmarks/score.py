"""What scoring costs besides the model: with a CLIP so small that reading and decoding are all there is.

python -m benchmarks.score --json score.json

Every image is read, decoded, resized to 224 pixels and normalised, its two captions are tokenised, and the
rows are written. Wall-clock rates need a quiet machine; processor time a sample says the same on a busy one.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

from benchmarks.recaption import CAPTIONS, jpeg_files, write_tars
from engine.build.budget import Budget
from engine.numbers import cores
from engine.scoring.options import ModelChoice, RunOptions, ScoreOptions
from engine.scoring.run import score
from engine.sources import SourceOptions, open_source

CONFIG = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 224, "layers": 1, "width": 32, "patch_size": 56, "head_width": 16},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 1, "layers": 1},
}


def make_model(folder: Path) -> Path:
    """A model of open_clip's with random weights."""
    import open_clip
    from safetensors.torch import save_file

    folder.mkdir()
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": CONFIG, "preprocess_cfg": {}}))
    state = open_clip.model.CLIP(**CONFIG).state_dict()
    save_file({name: one.contiguous() for name, one in state.items()}, folder / "open_clip_model.safetensors")
    return folder


def measure(folder: Path, model: Path, workers: int) -> dict[str, float | None]:
    """Images and captions a second, without the time that loading torch and the model takes."""
    source = SourceOptions((str(folder / "*.tar"),), captions=CAPTIONS)
    options = ScoreOptions(source, (), (), ModelChoice(str(model)))
    run = RunOptions(folder / f"ledger{workers}", workers, budget=Budget(0), device="cpu")
    marks: list[tuple[float, float, int]] = []
    result = score(
        open_source(source), options, run,
        lambda status: marks.append((time.monotonic(), time.process_time(), status.counts.seen)),
    )  # fmt: skip
    (begun, busy, first), (ended, done, last) = marks[0], marks[-1]
    images = last - first
    captions = result.counts.captions / result.counts.samples.seen * images
    return {
        "images": images,
        "images_per_s": images / (ended - begun),
        "captions_per_s": captions / (ended - begun),
        # With more workers it is spent in other processes.
        "processor_ms_per_image": 1000 * (done - busy) / images if workers == 1 else None,
        "workers": workers,
    }


def main() -> None:
    """Runs both and prints them."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.score", description=__doc__)
    parser.add_argument("--images", type=int, default=4000)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_tars(folder, args.images, jpeg_files(64))
        model = make_model(folder / "model")
        found = [measure(folder, model, workers) for workers in sorted({1, cores()})]
    for one in found:
        spent = one["processor_ms_per_image"]
        print(
            f"{one['workers']} workers: {one['images_per_s']:,.0f} images/s, "
            f"{one['captions_per_s']:,.0f} captions/s" + (f", {spent:.2f} ms an image" if spent else "")
        )
    if args.json:
        args.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
