"""The report of a run, or of several over each other: `python -m train.report RUN [RUN ...]`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from engine.command import command_parser

EXAMPLE = """examples:
  python -m train.report runs/veclip_b16                      writes runs/veclip_b16/report.html
  python -m train.report runs/alttext runs/mixed --out compare.html

One HTML file that needs nothing else: curves, final table, dropped steps, settings. train/run.py writes it at
the end of a run, also of one that was stopped."""
REPORT = "report.html"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = command_parser(
        "python -m train.report",
        "Write the report of a run, or of several runs over each other.",
        EXAMPLE,
    )
    parser.add_argument("runs", nargs="+", metavar="RUN", help="a run's folder (save_folder)")
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help=f"default: {REPORT} in the run's folder, or here for several"
    )
    options = parser.parse_args(arguments)
    from engine.errors import UserError

    out = options.out or (Path(options.runs[0]) / REPORT if len(options.runs) == 1 else Path(REPORT))
    try:
        runs, points = write_report(options.runs, out)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"error: {out}: {error.strerror or error}", file=sys.stderr)
        return 1
    print(f"{out}: {runs} {'run' if runs == 1 else 'runs'}, {points:,} points")
    return 0


def write_report(folders: Sequence[str | Path], out: Path) -> tuple[int, int]:
    """Write the report; the file appears whole or not at all.

    Returns:
        Number of runs and of points drawn.

    Raises:
        UserError: a folder is no run's.
        OSError: the file cannot be written.
    """
    from engine.native import commit_file
    from engine.page import page_text
    from train.watch.report_charts import page_data
    from train.watch.report_data import read_run

    runs = [read_run(folder) for folder in folders]
    data = page_data(runs)
    title = ", ".join(run.name for run in runs)
    template = Path(__file__).parent / "watch" / "data" / "report"
    commit_file(out, page_text(template, title, data).encode())
    return len(runs), sum(len(s["x"]) for chart in data["charts"] for s in chart["series"])


if __name__ == "__main__":
    sys.exit(main())
