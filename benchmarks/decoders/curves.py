"""Whether training notices the decoder: the curves of finished runs, `python -m benchmarks.decoders.curves`.

The runs' recipes are the same but for `data.decoder` and `seed`; they have a retrieval set and an
`eval_interval`.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev

import yaml

from engine.errors import UserError
from loaders.decoder import DECODERS
from train.watch.report_data import Curve, RunData, read_run

PREFIX = "metrics/retrieval/"
RATE = "throughput/samples_per_sec"
# Colour and line width: one is drawn over the other, and would hide it.
LINES = dict(zip(DECODERS, (("#4c78a8", 3.0), ("#f58518", 1.0)), strict=True))
WHAT = {"held-out loss": "loss/", "mean R@10": "_r@10"}
Runs = Mapping[str, Mapping[int, RunData]]


def held_out(run: RunData, what: str) -> Curve:
    """Mean over captions' sources, or over both directions."""
    parts = [curve for name, curve in run.curves.items() if name.startswith(PREFIX) and WHAT[what] in name]
    if not parts:
        raise UserError(f"{run.folder}: no retrieval in its log; give runs with retrieval and eval_interval")
    return Curve(parts[0].steps, [fmean(values) for values in zip(*(c.values for c in parts), strict=True)])


def read_runs(folders: Sequence[Path]) -> Runs:
    """By decoder and seed.

    Raises:
        UserError: no log, or the seeds of the decoders are not the same.
    """
    found: dict[str, dict[int, RunData]] = defaultdict(dict)
    for folder in folders:
        run = read_run(folder)
        config = yaml.safe_load(run.config)
        found[config["data"].get("decoder", DECODERS[0])][config["seed"]] = run
    seeds = {decoder: sorted(runs) for decoder, runs in found.items()}
    if sorted(found) != sorted(DECODERS) or len({tuple(some) for some in seeds.values()}) != 1:
        raise UserError(f"runs: seeds {seeds} given; expected the same seeds of {' and '.join(DECODERS)}")
    return found


def table(runs: Runs) -> str:
    """What is left at the end, as Markdown: means over seeds, their spread, and the decoders' difference."""
    lines = [
        f"| at the end | {' | '.join(DECODERS)} | dali - native, seed by seed | spread of seeds |",
        "|---|---:|---:|---|---:|",
    ]
    native, dali = (runs[decoder] for decoder in DECODERS)
    for what in WHAT:
        own = [held_out(native[seed], what).values[-1] for seed in sorted(native)]
        other = [held_out(dali[seed], what).values[-1] for seed in sorted(native)]
        gaps = ", ".join(f"{b - a:+.4f}" for a, b in zip(own, other, strict=True))
        spread = f"{stdev(own):.4f} and {stdev(other):.4f}" if len(own) > 1 else ""
        lines.append(f"| {what} | {fmean(own):.4f} | {fmean(other):.4f} | {gaps} | {spread} |")
    rates = [[fmean(run.curves[RATE].values) for run in runs[decoder].values()] for decoder in DECODERS]
    lines.append(f"| samples/s | {fmean(rates[0]):.0f} | {fmean(rates[1]):.0f} | | |")
    return "\n".join(lines)


def draw(runs: Runs, target: Path) -> None:
    """One panel for each measure, one line for each run."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "decoders"  # the same figures give the same file
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(1, len(WHAT), figsize=(9, 3.4), layout="constrained")
    for panel, what in zip(panels, WHAT, strict=True):
        for decoder, (colour, width) in LINES.items():
            for at, run in enumerate(runs[decoder].values()):
                curve = held_out(run, what)
                label = decoder if at == 0 else None
                panel.plot(curve.steps, curve.values, color=colour, linewidth=width, label=label)
        panel.set(xlabel="step", title=what)
    panels[0].legend(fontsize=8)
    figure.savefig(target, metadata={"Date": None})
    pyplot.close(figure)


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.decoders.curves",
        description="Compare runs whose recipes differ in data.decoder: held-out loss, R@10 and samples/s.",
        epilog="example: python -m benchmarks.decoders.curves runs/native-1 runs/dali-1 --chart dali.svg",
    )
    parser.add_argument("runs", type=Path, nargs="+", help="folders of runs, the same seeds of both decoders")
    parser.add_argument("--chart", type=Path, help="SVG that is drawn")
    options = parser.parse_args(argv)
    try:
        runs = read_runs(options.runs)
        print(table(runs))
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    if options.chart:
        draw(runs, options.chart)
    return 0


if __name__ == "__main__":
    sys.exit(main())
