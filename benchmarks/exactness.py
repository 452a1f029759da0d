"""Compare the native decoders and transforms with Pillow on every file of a folder.

python -m benchmarks.exactness --images DIR --json exactness.json

Decode, three seeded training crops and the evaluation transform must be equal bit for bit, or both sides must
refuse the file. Exit code 1 if they differ anywhere that benchmarks/exactness_rules.py does not list.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.exactness_rules import Difference, find_rule
from benchmarks.images import files_in

Image8 = NDArray[np.uint8]
OUTCOMES = ("equal", "both_refuse", "only_ours_refuses", "only_pillow_refuses", "differ")
SIDE = 224
CROPS = 3
# A strip of 16,384 x 1 pixels is resized to 3,670,016 x 224 before its centre is cut out; beyond this the
# reference alone would need gigabytes, so only the decoded pixels and the crops are compared.
MOST_RESIZED_PIXELS = 64_000_000


@dataclass(frozen=True)
class Result:
    """One file: where the sides part (`stage`), by how much, and the rule that allows it."""

    file: str
    outcome: str
    detail: str = ""
    max_diff: int = 0
    rule: str = ""
    reason: str = ""


def pillow_decode(data: bytes) -> tuple[Any, str, str]:
    """(PIL image in RGB or None, Pillow's format name, error)."""
    from PIL import Image

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        name = ""
        try:
            with Image.open(BytesIO(data)) as image:
                name = image.format or ""
                return image.convert("RGB"), name, ""
        except Exception as error:  # Pillow raises whatever its parsers meet
            return None, name, f"{type(error).__name__}: {error}"


def _pillow_eval(image: Any) -> Image8 | None:
    """torchvision's Resize(SIDE, bicubic) and CenterCrop(SIDE) on a PIL image, uint8 [SIDE, SIDE, 3]."""
    from PIL import Image

    shorter = min(image.size)
    width, height = (int(SIDE * side / shorter) for side in image.size)
    if width * height > MOST_RESIZED_PIXELS:
        return None
    if (width, height) != image.size:
        image = image.resize((width, height), Image.Resampling.BICUBIC)
    left, top = round((width - SIDE) / 2.0), round((height - SIDE) / 2.0)
    return np.asarray(image.crop((left, top, left + SIDE, top + SIDE)))


def _pillow_crop(image: Any, box: Sequence[int]) -> Image8:
    """torchvision's resized_crop on a PIL image, uint8 [SIDE, SIDE, 3]."""
    from PIL import Image

    left, top, width, height = box
    cropped = image.crop((left, top, left + width, top + height))
    return np.asarray(cropped.resize((SIDE, SIDE), Image.Resampling.BICUBIC))


def _draw_boxes(width: int, height: int) -> NDArray[np.int32]:
    """CROPS boxes of RandomResizedCrop's wide range, int32 [CROPS, 4]; the same for every run."""
    from engine.native import crop_boxes

    keys = np.arange(CROPS, dtype=np.uint64)
    sizes = np.full((2, CROPS), [[width], [height]], dtype=np.int32)
    return crop_boxes(sizes[0], sizes[1], keys, seed=0, epoch=0, scale=(0.08, 1.0))


def stages(data: bytes, image: Any, decoded: Image8) -> Iterator[tuple[str, Image8, Image8]]:
    """(stage, ours, Pillow's) for everything that is compared on a file both sides decode."""
    from engine.native import ThreadPool, eval_batch, train_batch

    yield "decode", decoded, np.asarray(image)
    pool = ThreadPool(1)
    boxes = _draw_boxes(*image.size)
    crops = np.zeros((CROPS, 3, SIDE, SIDE), dtype=np.uint8)
    train_batch([data] * CROPS, boxes, crops, pool)
    for i, box in enumerate(boxes.tolist()):
        yield f"crop {i} {box}", crops[i].transpose(1, 2, 0), _pillow_crop(image, box)
    centre = np.zeros((1, 3, SIDE, SIDE), dtype=np.uint8)
    eval_batch([data], centre, pool)
    reference = _pillow_eval(image)
    if reference is not None:
        yield "evaluation", centre[0].transpose(1, 2, 0), reference


def _largest_difference(ours: Image8, reference: Image8) -> int:
    if ours.shape != reference.shape:
        return 255
    return int(np.abs(ours.astype(np.int16) - reference).max(initial=0))


def compare(data: bytes) -> Result:
    """Both sides on one file; `file` is left empty."""
    from engine.native import NativeError, decode_rgb

    image, name, error = pillow_decode(data)
    try:
        decoded, status = decode_rgb(data), "ok"
    except NativeError as native:
        decoded, status = None, native.name
    outcome, detail, largest = "equal", "", 0
    if image is None or decoded is None:
        outcome = {(True, True): "both_refuse", (True, False): "only_pillow_refuses"}.get(
            (image is None, decoded is None), "only_ours_refuses"
        )
        detail = error if outcome == "only_pillow_refuses" else status
    else:
        for stage, ours, reference in stages(data, image, decoded):
            difference = _largest_difference(ours, reference)
            if difference > largest:
                outcome, detail, largest = "differ", detail or stage, difference
    if outcome in ("equal", "both_refuse"):
        return Result("", outcome, detail)
    rule = find_rule(Difference(outcome, status, name, data))
    return Result("", outcome, detail, largest, rule.name if rule else "", rule.reason if rule else "")


def compare_file(path: str) -> Result:
    """`compare` on a file's bytes, with its name in the result."""
    result = compare(Path(path).read_bytes())
    return Result(path, result.outcome, result.detail, result.max_diff, result.rule, result.reason)


def _silence_libraries() -> None:
    """libtiff, which Pillow tries on some files, writes to stderr by itself."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


def compare_folder(folder: Path, workers: int) -> Iterator[Result]:
    """Results in the order of the sorted paths."""
    paths = [str(path) for path in files_in(folder)]
    with ProcessPoolExecutor(workers, initializer=_silence_libraries) as pool:
        from tqdm import tqdm

        yield from tqdm(
            pool.map(compare_file, paths, chunksize=8), total=len(paths), unit="file", disable=None
        )


def summarise(folder: Path, results: Sequence[Result]) -> dict[str, Any]:
    """The JSON document; `unlisted` holds what makes the run fail."""
    counts = Counter(result.outcome for result in results)

    def entry(result: Result) -> dict[str, Any]:
        name = str(Path(result.file).relative_to(folder))
        return {**vars(result), "file": name}

    parted = [result for result in results if result.outcome not in ("equal", "both_refuse")]
    return {
        "files": len(results),
        **{outcome: counts[outcome] for outcome in OUTCOMES},
        "max_diff": max((result.max_diff for result in results), default=0),
        "listed_exceptions": [entry(result) for result in parted if result.rule],
        "unlisted": [entry(result) for result in parted if not result.rule],
    }


def _print_table(summary: dict[str, Any]) -> None:
    for name in ("files", *OUTCOMES, "max_diff"):
        print(f"{name:20} {summary[name]:>7}")
    for rule, count in Counter(entry["rule"] for entry in summary["listed_exceptions"]).most_common():
        reason = next(e["reason"] for e in summary["listed_exceptions"] if e["rule"] == rule)
        print(f"  listed: {rule:24} {count:>5}  {reason}")
    for entry in summary["unlisted"]:
        print(f"UNLISTED {entry['outcome']}: {entry['file']}: {entry['detail']} (max {entry['max_diff']})")


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.exactness",
        description=(__doc__ or "").partition("\n")[0],
        epilog="example: python -m benchmarks.exactness --images photos --json exactness.json",
    )
    parser.add_argument("--images", type=Path, required=True, help="folder; every file below it is compared")
    parser.add_argument("--json", type=Path, help="where the summary is written")
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)), help="processes")
    arguments = parser.parse_args(argv)
    if not arguments.images.is_dir():
        print(f"--images: {arguments.images} is not a folder; give one that holds images", file=sys.stderr)
        return 1
    summary = summarise(arguments.images, list(compare_folder(arguments.images, arguments.workers)))
    _print_table(summary)
    if arguments.json:
        arguments.json.write_text(json.dumps(summary, indent=1) + "\n")
    return 1 if summary["unlisted"] else 0


if __name__ == "__main__":
    sys.exit(main())
