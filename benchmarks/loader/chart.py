"""The chart of the README from the rows of benchmarks.loader.

python -m benchmarks.loader.chart loader.json docs/results/loader.svg
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.loader.peers import BY_NAME
from benchmarks.loader.rounds import Row

LEFT_OUT = {"ours", "our_kernel", "ours_1_thread"}
COLOURS = {"originals": "#4c78a8", "small": "#f58518"}
LEVELS = {
    "kernel": "decode + transform, one thread",
    "loader": "whole loader, {threads} threads or workers",
}
LABELS = {"originals": "originals", "small": "stored at 256 px"}


def panels(rows: Sequence[Row]) -> dict[str, list[tuple[str, dict[str, Row]]]]:
    """Per panel title, (peer and output, {input: row}); loaders with the most threads measured."""
    threads = {level: max((r["threads"] for r in rows if r["level"] == level), default=0) for level in LEVELS}
    found: dict[str, dict[str, dict[str, Row]]] = {}
    for row in rows:
        level = row["level"]
        if row["peer"] in LEFT_OUT or row["threads"] != threads[level]:
            continue
        title = LEVELS[level].format(threads=threads[level])
        name = f"{BY_NAME[row['peer']].title}, {row['output']}"
        found.setdefault(title, {}).setdefault(name, {})[row["input"]] = row
    return {title: list(peers.items()) for title, peers in found.items()}


def draw(rows: Sequence[Row], target: Path) -> None:
    """Bars of ours over the peer's speed, with the least and most of the rounds; one panel per level.

    Raises:
        SystemExit: when matplotlib is not installed.
    """
    try:
        import matplotlib
    except ModuleNotFoundError as error:
        raise SystemExit("matplotlib is not installed; pip install 'veclip-engine[bench]'") from error
    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "veclip"  # the same rows give the same file
    from matplotlib import pyplot

    shown = panels(rows)
    figure, axes = pyplot.subplots(1, len(shown), figsize=(5.5 * len(shown), 4.2), squeeze=False)
    for axis, (title, peers) in zip(axes[0], shown.items(), strict=True):
        _panel(axis, title, peers)
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, fontsize=8, loc="lower center", ncols=len(labels))
    figure.tight_layout(rect=(0, 0.05, 1, 1))
    figure.savefig(target, metadata={"Date": None})
    pyplot.close(figure)


def _panel(axis: Any, title: str, peers: list[tuple[str, dict[str, Row]]]) -> None:
    height = 0.38
    for offset, (name, colour) in zip((-height / 2, height / 2), COLOURS.items(), strict=True):
        places = [(at + offset, found[name]) for at, (_, found) in enumerate(peers) if name in found]
        ratios = [row["ratio"] for _, row in places]
        spread = [
            [row["ratio"] - row["ratio_min"] for _, row in places],
            [row["ratio_max"] - row["ratio"] for _, row in places],
        ]
        where = [at for at, _ in places]
        axis.barh(where, ratios, height, xerr=spread, color=colour, ecolor="#555555", label=LABELS[name])
        for at, ratio in zip(where, ratios, strict=True):
            axis.text(0.05, at, f"{ratio:.1f}x", va="center", color="white", fontsize=8)
    axis.axvline(1, color="black", linewidth=0.8)
    axis.set_yticks(range(len(peers)), [name for name, _ in peers])
    axis.invert_yaxis()
    axis.set_title(title, fontsize=10)
    axis.set_xlabel("times as fast as the peer (1 = equal)")


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks.loader.chart",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("rows", type=Path, metavar="JSON", help="written by benchmarks.loader --json")
    parser.add_argument("target", type=Path, metavar="SVG", help="file to write")
    given = parser.parse_args(arguments)
    draw(json.loads(given.rows.read_text()), given.target)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
