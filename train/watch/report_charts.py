"""Which metrics a report draws, and the page's data. What no chart names is drawn too, by its prefix."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from train.keeping.checkpoints import flat
from train.watch.report_data import RunData

PERCENT = "percent"
DROPPED = "steps/dropped"
IGNORED = re.compile(r"run/|time/|trainer/|metrics/.*/(images|texts|classes)$")


@dataclass(frozen=True)
class Chart:
    """One frame.

    Attributes:
        title: with the groups of `pattern` filled in, so that one pattern may give several charts.
        pattern: of a metric's whole name; group `label` is what the line is called.
        unit: `percent`, or what stands beside the title.
        log: draw values by their logarithm.
    """

    title: str
    pattern: str
    unit: str = ""
    log: bool = False


CHARTS = (
    Chart("Training loss", r"(?P<label>loss)/train/total"),
    Chart("Held-out loss by caption source", r"metrics/retrieval/loss/(?P<label>.+)"),
    Chart("Retrieval, image to text", r"metrics/retrieval/image_to_text_(?P<label>r@\d+)", PERCENT),
    Chart("Retrieval, text to image", r"metrics/retrieval/text_to_image_(?P<label>r@\d+)", PERCENT),
    Chart("Zero-shot {set}", r"metrics/zeroshot/(?P<set>[^/]+)/(?P<label>.+)", PERCENT),
    Chart("Learning rate", r"optimizer/(?P<label>lr)"),
    Chart("Gradient norm", r"l2_norm/(?P<label>grad)", "before clipping", log=True),
    Chart("Logit scale", r"model/logit_(?P<label>scale|bias)"),
    Chart("Throughput", r"throughput/(?P<label>samples_per_sec)", "samples/s"),
    Chart("Waiting for data", r"throughput/(?P<label>data_wait)_fraction", PERCENT),
    Chart("Model FLOPs utilisation", r"throughput/(?P<label>mfu)", PERCENT),
    Chart("Useful operations", r"throughput/(?P<label>model_flops)_per_sec", "FLOP/s, all ranks"),
    Chart("Captions drawn by source", r"captions/(?P<label>.+)", PERCENT),
    Chart("Samples by stream", r"streams/(?P<label>.+)", PERCENT),
    Chart("Tokens a caption", r"texts/(?P<label>mean_tokens)"),
    Chart("Cut captions, duplicates in a batch", r"texts/(?P<label>full_context|duplicates)", PERCENT),
    Chart("Making a batch", r"data/(?P<label>.+)_ms", "ms a rank"),
    Chart("Dropped steps", r"steps/(?P<label>dropped)", "this process"),
    Chart("Probes", r"probes/(?P<label>seconds)", "s each"),
)


def page_data(runs: Sequence[RunData]) -> dict[str, Any]:
    """Everything that the page shows, of JSON's kinds."""
    names = [_name(run, runs) for run in runs]
    return {
        "runs": [{"name": name, **_facts(run)} for name, run in zip(names, runs, strict=True)],
        "charts": _charts(runs),
        "table": _table(runs),
        "settings": _settings(runs),
    }


def _name(run: RunData, runs: Sequence[RunData]) -> str:
    return run.name if sum(other.name == run.name for other in runs) == 1 else str(run.folder)


def _facts(run: RunData) -> dict[str, Any]:
    config = _config(run)
    rate = run.curves.get("throughput/samples_per_sec")
    mfu = run.curves.get("throughput/mfu")
    return {
        "config": run.config,
        "steps": run.steps,
        "total": run.total,
        "batch": config.get("global_train_batch_size"),
        "seconds": run.seconds,
        "finished": run.results is not None and run.results.get("step") == run.total,
        "rate": None if rate is None else sorted(rate.values)[len(rate.values) // 2],
        "mfu": None if mfu is None else sorted(mfu.values)[len(mfu.values) // 2],
        "resumed": list(run.resumed),
        "bad": [{key: _short(value) for key, value in line.items()} for line in run.bad_steps],
        "bad_count": run.bad_count,
    }


def _short(value: object) -> str:
    if isinstance(value, list):
        more = f" and {len(value) - 3} more" if len(value) > 3 else ""
        return ", ".join(map(str, value[:3])) + more
    return str(value)


def _config(run: RunData) -> Mapping[str, Any]:
    try:
        config = yaml.safe_load(run.config)
    except yaml.YAMLError:
        config = None
    return config if isinstance(config, dict) else {}


def _charts(runs: Sequence[RunData]) -> list[dict[str, Any]]:
    charts: dict[str, dict[str, Any]] = {}
    order: dict[str, int] = {}
    for metric in dict.fromkeys(name for run in runs for name in run.curves):
        place, title, label, chart = _place(metric)
        if title and not IGNORED.match(metric) and not _quiet(metric, runs):
            order.setdefault(title, place)
            frame = {"title": title, "unit": chart.unit, "log": chart.log, "series": []}
            charts.setdefault(title, frame)["series"] += _series(runs, metric, label)
    return [charts[title] for title in sorted(charts, key=lambda t: order[t])]


def _quiet(metric: str, runs: Sequence[RunData]) -> bool:
    """Whether no run dropped a step."""
    return metric == DROPPED and not any(any(r.curves[metric].values) for r in runs if metric in r.curves)


def _place(metric: str) -> tuple[int, str, str, Chart]:
    """Where a metric is drawn: number of the chart, title, what the line is called, the chart."""
    for number, chart in enumerate(CHARTS):
        if found := re.fullmatch(chart.pattern, metric):
            return number, chart.title.format(**found.groupdict()), found["label"].replace("_", " "), chart
    prefix, _, label = metric.rpartition("/")
    return len(CHARTS), prefix, label.replace("_", " "), Chart(prefix, "")


def _series(runs: Sequence[RunData], metric: str, label: str) -> list[dict[str, Any]]:
    found = [
        (number, run.curves[metric].thinned()) for number, run in enumerate(runs) if metric in run.curves
    ]
    return [
        {"run": number, "label": label, "x": curve.steps, "y": [float(f"{v:.5g}") for v in curve.values]}
        for number, curve in found
    ]


def _table(runs: Sequence[RunData]) -> list[dict[str, Any]]:
    """Rows of the final table: a figure, its kind and its value in each run, None where it has none."""
    found = [run.results or {} for run in runs]
    figures = [
        name
        for name in dict.fromkeys(name for results in found for name in results)
        if any(isinstance(results.get(name), (int, float)) for results in found) and name != "step"
    ]
    return [
        {"figure": name, "kind": _kind(name), "values": [_number(results.get(name)) for results in found]}
        for name in figures
    ]


def _kind(name: str) -> str:
    if re.search(r"(^|/)(images|texts|classes)$", name):
        return "count"
    return "loss" if name.startswith("loss/") else PERCENT


def _number(value: object) -> float | None:
    # Not a number is written as a word by Python's json and refused by the page's.
    return float(value) if isinstance(value, (int, float)) and value == value else None


def _settings(runs: Sequence[RunData]) -> list[list[str]]:
    """Settings in which the runs differ: name, then each run's."""
    settings = [{name: str(value) for name, value in flat(_config(run)).items()} for run in runs]
    names = dict.fromkeys(name for own in settings for name in own)
    rows = [[name, *(own.get(name, "not set") for own in settings)] for name in names]
    return [row for row in rows if len(set(row[1:])) > 1]
