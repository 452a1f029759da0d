"""The board as Markdown and as a chart."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.gpu.board import DONE, Board, Row
from benchmarks.gpu.figures import Figure, loaders, trainings
from benchmarks.gpu.session import DATA, describe
from benchmarks.marks import put_into

BEGIN = "<!-- tables of benchmarks.gpu -->"


def write_report(board: Board, out: Path) -> None:
    """OUT.md's tables and, where matplotlib is installed, OUT.svg."""
    put_into(out.with_suffix(".md"), markdown(board), BEGIN)
    try:
        from benchmarks.gpu.chart import draw
    except ModuleNotFoundError as error:
        print(f"no chart: {error}", file=sys.stderr)
    else:
        draw(board.rows, out.with_suffix(".svg"))


def markdown(board: Board) -> str:
    """Machine, tables, and what is missing with its reason."""
    parts = [
        "  \n".join([*describe(board.facts), *_images(board)]),
        _pixels({name: row for name, row in board.rows.items() if name.startswith("pixels/")}),
        _loaders("Loaders: batches whose pixels lie on the device.", loaders(board.rows, "loader")),
        _trainings(trainings(board.rows)),
        _loaders("Decoders alone, bytes and boxes being ready.", loaders(board.rows, "decoder")),
        _missing(board.rows),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _images(board: Board) -> list[str]:
    row = board.rows.get(DATA.name, {})
    if row.get("status") != DONE:
        return []
    kind, found = board.settings.images or "drawn images", row["result"]
    sizes = f"originals {found['originals_kb']:.0f} kB, stored small {found['small_kb']:.0f} kB on average"
    return [f"{board.settings.distinct:,} {kind}: {sizes}"]


def _table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    if not rows:
        return ""
    ruler = "|" + "|".join("---:" if at else "---" for at in range(len(head))) + "|"
    return "\n".join([f"{title}", "", *(f"| {' | '.join(row)} |" for row in (head,)), ruler,
                      *(f"| {' | '.join(row)} |" for row in rows)])  # fmt: skip


def _pixels(rows: Mapping[str, Row]) -> str:
    lines = []
    for row in rows.values():
        if row["status"] == DONE:
            found, form, decoder = row["result"], row["choice"]["form"], row["choice"]["decoder"]
            for suffix, output in (("", "uint8"), ("_bfloat16", "bfloat16, channels last")):
                if f"images{suffix}" in found:
                    lines.append((f"{decoder}, {form}, {output}", *_pixel_cells(found, suffix)))
    head = [
        "decoder",
        "reference",
        "equal",
        "right",
        "PSNR least",
        "mean",
        "largest difference",
        "keys, boxes, captions",
    ]
    return _table("Pixels, in steps of 8 bits.", [*head, "left to native", "on"], lines)


def _pixel_cells(found: Mapping[str, Any], suffix: str) -> tuple[str, ...]:
    def one(name: str) -> Any:
        return found.get(f"{name}{suffix}")

    same = [one(f"same_{name}") for name in ("keys", "boxes", "captions")]
    return (
        one("reference"),
        f"{one('equal')} of {one('images')}",
        "yes" if found["right"] else "NO",
        _show(one("psnr_min"), "{:.1f} dB"),
        _show(one("psnr_mean"), "{:.1f} dB"),
        _show(one("max_diff"), "{:.3g}"),
        "" if None in same else "the same" if all(same) else f"DIFFERENT: {same}",
        _show(one("left_to_native"), "{}"),
        one("device") or "",
    )


def _loaders(title: str, figures: Sequence[Figure]) -> str:
    lines = [
        (
            f"{f.choice['decoder']}, {f.choice['form']}, {f.choice['dtype']}",
            str(f.choice["threads"]),
            *_rate_cells(f),
            _show(f.others["cpu_s_per_1000"], "{:.2f}"),
            *_card_cells(f.others),
            _show(f.others["first_batch_s"], "{:.1f}"),
            _show(f.others.get("psnr_min"), "{:.1f} dB"),
        )
        for f in figures
    ]
    head = [
        "decoder",
        "threads",
        "images/s",
        "of native",
        "CPU s/1,000",
        "GPU MiB",
        "GPU busy",
        "first batch, s",
        "PSNR least",
    ]
    return _table(title, head, lines)


def _trainings(figures: Sequence[Figure]) -> str:
    lines = [
        (
            f"{f.choice['model']}, {f.choice['form']}: {f.choice['source']}",
            str(f.others["batch"]),
            *_rate_cells(f),
            _show(f.others["data_wait"], "{:.1%}"),
            _show(f.others["mfu"], "{:.1%}"),
            _show(f.others["cpu_s_per_1000"], "{:.2f}"),
            *_card_cells(f.others),
        )
        for f in figures
    ]
    head = ["model, images: batches from", "batch", "samples/s", "of the ceiling", "waiting for data", "MFU"]
    return _table("Training.", [*head, "CPU s/1,000", "GPU MiB", "GPU busy"], lines)


def _rate_cells(figure: Figure) -> tuple[str, str]:
    spread = "" if len(figure.rates) < 2 else f" ({min(figure.rates):,.0f} to {max(figure.rates):,.0f})"
    return f"{figure.rate:,.0f}{spread}", _show(figure.ratio, "{:.2f}")


def _card_cells(others: Mapping[str, Any]) -> tuple[str, str]:
    return _show(others.get("gpu_mib"), "{:,.0f}"), _show(others.get("gpu_busy"), "{:.0%}")


def _show(value: Any, form: str) -> str:
    return "" if value is None else form.format(value)


def _missing(rows: Mapping[str, Row]) -> str:
    left = {name: row for name, row in rows.items() if row["status"] != DONE}
    lines = [f"- {name}: {row['status']}: {row['reason']}" for name, row in left.items()]
    return "\n".join(["Not measured:", "", *lines]) if lines else ""
