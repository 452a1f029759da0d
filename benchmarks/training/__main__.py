"""The command line: python -m benchmarks.training --help."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from benchmarks import training
from engine.command import exit_code
from engine.numbers import positive
from engine.sources.cli import add_source_arguments, source_options

SETTINGS = ("batch", "epochs", "lr", "warmup", "precision", "device", "workers", "log_every")
EXAMPLE = """\
examples:
  python -m benchmarks.training DATA/Flickr8k.token.txt --held-out-keys DATA/Flickr_8k.testImages.txt \\
      --epochs 5 --rounds 3 --context 20 --context 77 --out docs/results/training
  python -m benchmarks.training 'cc12m/*.tar' --model ViT-B-16 --model ViT-L-14 --device cuda --batch 256 \\
      --precision amp_bf16 --epochs 1 --rounds 2 --context 77 --workers 8 --warmup 100

Writes OUT.json and OUT.svg, and the tables into OUT.md, between two marks if it is there."""


def make_parser() -> argparse.ArgumentParser:
    """The command line's options."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks.training",
        description=training.__doc__,
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_source_arguments(parser)
    add = parser.add_argument_group("comparison").add_argument
    add("--held-out-keys", type=Path, metavar="FILE", help="keep these samples out, and retrieve with them")
    add("--limit", type=positive, metavar="N", help="pairs to train on (default: all)")
    add("--model", action="append", metavar="NAME", help="small (default) or one of open_clip's; repeatable")
    add(
        "--context",
        action="append",
        type=positive,
        metavar="N",
        help="tokens a text (default 77); repeatable",
    )
    add("--rounds", type=positive, default=3, metavar="N", help="runs of each, a seed each (default 3)")
    add("--batch", type=positive, default=128, metavar="N", help="samples a step (default 128)")
    add("--epochs", type=positive, default=5, metavar="N", help="default 5")
    add("--lr", type=float, default=1e-3, help="default 1e-3")
    add("--warmup", type=positive, default=40, metavar="STEPS", help="default 40")
    add("--precision", choices=("fp32", "amp_bf16"), default="fp32")
    add("--device", choices=("cpu", "cuda"), default="cpu")
    add("--workers", type=int, default=1, metavar="N", help="open_clip's worker processes (default 1)")
    add("--log-every", type=positive, default=5, metavar="STEPS", help="default 5")
    add("--work", type=Path, metavar="DIR", help="for data and runs (default: a temporary folder)")
    add("--out", type=Path, metavar="PATH", help="write PATH.json, PATH.svg and the tables in PATH.md")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    options = make_parser().parse_args(arguments)
    if options.work is not None:
        return exit_code(lambda: _run(options, options.work))
    with tempfile.TemporaryDirectory() as folder:
        return exit_code(lambda: _run(options, Path(folder)))


def _run(options: argparse.Namespace, work: Path) -> None:
    import torch

    from benchmarks.loader.report import machine
    from benchmarks.marks import put_into
    from benchmarks.training.chart import draw
    from benchmarks.training.compare import compare
    from benchmarks.training.report import BEGIN, markdown

    runs = _measure(options, work)
    found = {key: compare(own) for key, own in runs.items()}
    where = machine() + (f", {torch.cuda.get_device_name()}" if options.device == "cuda" else "")
    text = markdown(found, where)
    print(text)
    if options.out is None:
        return
    put_into(options.out.with_suffix(".md"), text, BEGIN)
    rows = [
        {"model": model, "context": context, "comparison": asdict(found[model, context]),
         "runs": [asdict(run) for run in own]}
        for (model, context), own in runs.items()
    ]  # fmt: skip
    settings = {name: getattr(options, name) for name in (*SETTINGS, "rounds", "limit")}
    result = {"machine": where, "settings": settings, "rows": rows}
    options.out.with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    draw(runs, found, options.out.with_suffix(".svg"))


def _measure(options: argparse.Namespace, work: Path) -> dict[tuple[str, int], list[training.rounds.Run]]:
    from benchmarks.training.corpus import Pairs, prepare, write_tars
    from benchmarks.training.rounds import run_round
    from benchmarks.training.task import Settings, Task

    pairs = Pairs(source_options(options), options.held_out_keys, options.limit)
    tars = write_tars(pairs, work / "tars")
    settings = Settings(**{name: getattr(options, name) for name in SETTINGS})
    runs: dict[tuple[str, int], list[training.rounds.Run]] = {}
    for context in options.context or [77]:
        corpus = prepare(pairs, tars, work, context)
        for model in options.model or ["small"]:
            for seed in range(1, options.rounds + 1):
                folder = work / f"{model.replace('/', '-')}-{context}-{seed}"
                task = Task(model, context, seed, settings, corpus, folder)
                found = run_round(task, lambda line: print(line, flush=True), ours_first=seed % 2 == 1)
                runs.setdefault((model, context), []).extend(found)
    return runs


if __name__ == "__main__":
    sys.exit(main())
