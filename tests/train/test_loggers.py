"""Loggers by YAML: what is asked for is there; what a user lacks is named with its install command."""

from __future__ import annotations

import importlib.util
import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from composer.loggers import TensorboardLogger

from engine.errors import UserError
from tests.train.run_kit import COMPOSER, command, run
from train.watch.loggers import JsonLinesLogger, build_loggers


def test_what_is_null_is_off(tmp_path: Path) -> None:
    (logger,) = build_loggers({"tensorboard": {"log_dir": str(tmp_path)}, "wandb": None, "mlflow": None})
    assert isinstance(logger, TensorboardLogger)
    assert logger.log_dir == str(tmp_path)


@pytest.mark.parametrize("name", ["wandb", "mlflow"])
def test_a_missing_package_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda package: None)
    with pytest.raises(UserError, match=f"^loggers.{name}: .*pip install {name}$"):
        build_loggers({name: {}})


def test_wrong_options_are_named() -> None:
    with pytest.raises(UserError, match=r"^loggers\.tensorboard: .*log_dirr"):
        build_loggers({"tensorboard": {"log_dirr": "x"}})


def logged_in_json(folder: Path) -> dict[str, dict[int, float]]:
    """Values by metric and step; what resumed runs log twice counts once."""
    found: dict[str, dict[int, float]] = {}
    for text in (folder / "log.jsonl").read_text().splitlines():
        line = json.loads(text)
        step = line.pop("step")
        for name in line.keys() - {"time", "run/began", "run/steps"}:
            found.setdefault(name, {})[step] = float(line[name])
    return found


def logged_in_tensorboard(folder: Path) -> dict[str, dict[int, float]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    (place,) = {path.parent for path in (folder / "tensorboard").rglob("events.out.tfevents.*")}
    read = EventAccumulator(str(place), size_guidance={"scalars": 0})
    read.Reload()
    return {tag: {e.step: e.value for e in read.Scalars(tag)} for tag in read.Tags()["scalars"]}


def wandb_records(path: Path) -> Iterator[Any]:
    """Records of W&B's offline file: LevelDB's log format behind 7 bytes of its own."""
    from wandb.proto import wandb_internal_pb2 as messages

    data, at, parts = path.read_bytes(), 7, b""
    while at + 7 <= len(data):
        if 32_768 - at % 32_768 < 7:
            at += 32_768 - at % 32_768
            continue
        _, length, kind = struct.unpack_from("<IHB", data, at)
        parts += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # whole, or the last part
            record = messages.Record()
            record.ParseFromString(parts)
            parts = b""
            yield record


def logged_in_wandb(folder: Path) -> dict[str, dict[int, float]]:
    found: dict[str, dict[int, float]] = {}
    runs = sorted((folder / "wandb").glob("offline-run-*/*.wandb"), key=lambda path: path.stat().st_mtime)
    ids = set()
    for path in runs:
        for record in wandb_records(path):
            if record.HasField("run"):
                ids.add(record.run.run_id)
            if record.HasField("history"):
                items = {item.key or item.nested_key[0]: item.value_json for item in record.history.item}
                step = record.history.step.num
                for name, value in items.items():
                    if not name.startswith("_"):
                        found.setdefault(name, {})[step] = float(json.loads(value))
    assert len(ids) == 1  # both processes are one run to it
    return found


def logged_in_mlflow(folder: Path) -> dict[str, dict[int, float]]:
    from mlflow import MlflowClient

    client = MlflowClient(f"file:{folder / 'mlruns'}")
    (run_id,) = {
        run.info.run_id for run in client.search_runs([e.experiment_id for e in client.search_experiments()])
    }
    assert client.get_run(run_id).info.status == "FINISHED"
    names = client.get_run(run_id).data.metrics
    return {
        name.replace("_at_", "@"): {m.step: m.value for m in client.get_metric_history(run_id, name)}
        for name in names
    }


@pytest.mark.slow
def test_every_metric_arrives_everywhere_and_a_resumed_run_goes_on(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two ranks, a stop, a resume: TensorBoard, W&B (offline) and MLflow have what log.jsonl has."""
    pytest.importorskip("wandb")
    pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    folder = place / "runs" / "logged"
    mlflow = f"mlflow: {{tracking_uri: 'file:{folder / 'mlruns'}'}}"
    loggers = f"loggers={{tensorboard: {{}}, wandb: {{init_kwargs: {{mode: offline}}}}, {mlflow}}}"
    both = ("logged", loggers, "eval_interval=2ba", "autoresume=true")
    run(command(place, *both, "max_duration=4ba", launcher=COMPOSER))
    half = logged_in_json(folder)
    run(command(place, *both, "max_duration=8ba"))
    expected = logged_in_json(folder)
    assert {f"metrics/retrieval/loss/{source}" for source in ("alttext", "vecap")} < expected.keys()
    assert set(half["metrics/retrieval/loss/vecap"]) == {2, 4}
    assert set(expected["metrics/retrieval/loss/vecap"]) == {2, 4, 6, 8}
    assert set(expected["loss/train/total"]) == set(range(8))
    for found in (logged_in_tensorboard(folder), logged_in_wandb(folder), logged_in_mlflow(folder)):
        for name, values in expected.items():
            got = found[name]
            assert got.keys() <= values.keys(), name
            assert got == {step: pytest.approx(values[step], rel=1e-6) for step in got}, name
        assert set(found["loss/train/total"]) == set(range(8))
        assert set(found["metrics/retrieval/loss/vecap"]) == {2, 4, 6, 8}


def test_a_torn_line_does_not_take_the_next_one_along(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text('{"step": 1}\n{"step": 2, "lo')
    state: Any = None
    logger = JsonLinesLogger(path)
    logger.init(state, state)
    logger.log_metrics({"run/began": 2.0}, 2)
    logger.close(state, state)
    first, torn, new = path.read_text().splitlines()
    assert (first, torn) == ('{"step": 1}', '{"step": 2, "lo')
    assert json.loads(new)["run/began"] == 2
    for content in ("", '{"step": 1}\n'):
        path.write_text(content)
        logger = JsonLinesLogger(path)
        logger.init(state, state)
        logger.close(state, state)
        assert path.read_text() == content
