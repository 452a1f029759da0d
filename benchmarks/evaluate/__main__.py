"""Evaluation beside CLIP_benchmark's own code, from files to figures, in interleaved rounds."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.evaluate.data import make_place
from benchmarks.evaluate.work import Work
from engine.numbers import positive
from engine.ui import table

Turn = dict[str, Any]


def turn_of(work: Work) -> Turn:
    """Run one side once."""
    # Left to themselves: each side's own choice of threads.
    own = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    done = subprocess.run(work.words(), env=own, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr[-3000:])
    found: Turn = json.loads(done.stdout.splitlines()[-1])
    return found


def measure(work: Work, rounds: int) -> dict[str, Any]:
    """Both sides in turn, each first every other time; ratios are theirs to ours, of neighbours."""
    turns: dict[str, list[Turn]] = {"ours": [], "theirs": []}
    for number in range(rounds):
        for side in ("ours", "theirs") if number % 2 == 0 else ("theirs", "ours"):
            turns[side].append(turn_of(replace(work, side=side)))
    row: dict[str, Any] = {"task": work.task, "model": work.model, "bf16": work.bf16}
    for side, found in turns.items():
        for name in ("seconds", "cpu_s", "import_s", "peak_mb"):
            row[f"{side}_{name}"] = round(statistics.median(turn[name] for turn in found), 2)
        row[f"{side}_metrics"] = found[0]["metrics"]
    for name in ("seconds", "cpu_s"):
        pairs = zip(turns["theirs"], turns["ours"], strict=True)
        row[f"{name}_ratios"] = sorted(round(b[name] / a[name], 2) for b, a in pairs)
    return row


def report(rows: Sequence[dict[str, Any]]) -> str:
    """The table."""
    lines: list[tuple[str, ...]] = [
        (
            "task",
            "model",
            "",
            "s ours",
            "theirs",
            "ratio",
            "cpu s ours",
            "theirs",
            "ratio",
            "MB ours",
            "theirs",
        )
    ]
    for row in rows:
        lines.append(
            (
                row["task"], row["model"], "bf16" if row["bf16"] else "fp32",
                f"{row['ours_seconds']:.1f}", f"{row['theirs_seconds']:.1f}",
                f"{statistics.median(row['seconds_ratios']):.2f}",
                f"{row['ours_cpu_s']:.1f}", f"{row['theirs_cpu_s']:.1f}",
                f"{statistics.median(row['cpu_s_ratios']):.2f}",
                f"{row['ours_peak_mb']:.0f}", f"{row['theirs_peak_mb']:.0f}",
            )
        )  # fmt: skip
    return table(lines)


def main() -> None:
    """Measure all, print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.evaluate", description=__doc__)
    parser.add_argument(
        "--images", type=Path, required=True, metavar="DIR", help="ImageNet's, named LABEL_anything"
    )
    parser.add_argument("--flickr8k", type=Path, required=True, metavar="DIR")
    parser.add_argument("--models", default="bench-tiny,ViT-B-32", metavar="A,B")
    parser.add_argument("--tasks", default="classes,retrieval,ranking", metavar="A,B")
    parser.add_argument("--bf16", default="off,on", metavar="A,B")
    parser.add_argument("--rounds", type=positive, default=3)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    models, tasks = args.models.split(","), args.tasks.split(",")
    with tempfile.TemporaryDirectory() as name:
        place = Path(name) / "place"
        make_place(place, args.images, args.flickr8k, models)
        works = [
            Work("ours", task, str(place), model, bf16 == "on")
            for task in tasks if task != "ranking" for model in models for bf16 in args.bf16.split(",")
        ]  # fmt: skip
        works += [Work("ours", "ranking", str(place))] if "ranking" in tasks else []
        rows = []
        for work in works:
            rows.append(measure(work, args.rounds))
            print(json.dumps(rows[-1]), flush=True)
    print(report(rows))
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
