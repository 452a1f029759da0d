"""Loggers by YAML: what is asked for is there; what a user lacks is named with its install command."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
from composer.loggers import TensorboardLogger

from engine.errors import UserError
from train.loggers import build_loggers


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
