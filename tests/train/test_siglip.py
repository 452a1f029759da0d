"""What SigLIP's model has that CLIP's has not: a learnt bias, another start, a scale without a limit."""

from __future__ import annotations

import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from composer.core import Event
from composer.loggers import Logger

from train.config import load_config, to_yaml
from train.keeping.checkpoints import ModelCard
from train.model.architecture import (
    Architecture,
    ModelConfig,
    TextConfig,
    TokenizerFacts,
    VisionConfig,
    resolve_architecture,
)
from train.model.contrastive import ContrastiveModel, Normalisation, build_clip
from train.model.loss import LossConfig
from train.model.optim import parameter_groups
from train.watch.callbacks import ClampLogitScale

TOKENIZER = TokenizerFacts("clip", "a" * 64, 8, 100, 99, 0)
NORMALISATION = Normalisation((0.5,) * 3, (0.5,) * 3)


def _architecture(loss: str, temperature: float | None = None) -> Architecture:
    vision, text = VisionConfig(32, 1, 64, 16), TextConfig(1, 32, 2)
    config = ModelConfig(embed_dim=16, vision=vision, text=text, init_temperature=temperature)
    return resolve_architecture(config, TOKENIZER, loss)


@pytest.mark.parametrize(
    ("loss", "temperature", "scale", "bias"),
    [("infonce", None, 1 / 0.07, None), ("siglip", None, 10.0, -10.0), ("siglip", 0.05, 20.0, -10.0)],
)
def test_logits_start_as_the_papers_say(
    loss: str, temperature: float | None, scale: float, bias: float | None
) -> None:
    clip = build_clip(_architecture(loss, temperature), 1)
    assert float(clip.logit_scale.exp()) == pytest.approx(scale)
    assert (clip.logit_bias is None) == (bias is None)
    assert bias is None or float(clip.logit_bias) == bias


def test_the_bias_does_not_decay() -> None:
    clip = build_clip(_architecture("siglip"), 1)
    groups = parameter_groups(clip, 0.2)
    (own,) = [g for g in groups if any(parameter is clip.logit_bias for parameter in g["params"])]
    assert own["weight_decay"] == 0


@pytest.mark.parametrize(("loss", "after"), [("infonce", math.log(100)), ("siglip", 6.0)])
def test_only_clips_scale_has_a_limit(loss: str, after: float) -> None:
    model = ContrastiveModel(build_clip(_architecture(loss), 1), NORMALISATION, loss=LossConfig(loss))  # type: ignore[arg-type]
    with torch.no_grad():
        model.clip.logit_scale.fill_(6.0)
    state: Any = SimpleNamespace(model=model)
    ClampLogitScale().apply(Event.BATCH_END, state, cast(Logger, None))  # type: ignore[no-untyped-call]
    assert float(model.clip.logit_scale) == pytest.approx(after)


def test_model_cards_with_and_without_a_bias(tmp_path: Path) -> None:
    for loss in ("siglip", "infonce"):
        card = ModelCard(_architecture(loss), TOKENIZER, NORMALISATION)
        card.save(tmp_path / "model.json")
        assert ModelCard.load(tmp_path / "model.json") == card
    values = json.loads((tmp_path / "model.json").read_text())
    del values["architecture"]["init_logit_bias"]  # as before there was SigLIP
    (tmp_path / "model.json").write_text(json.dumps(values))
    assert ModelCard.load(tmp_path / "model.json") == card


def test_configs_from_before_load(tmp_path: Path) -> None:
    """They name no loss, and CLIP's temperature."""
    saved = to_yaml(load_config("yamls/tiny_cpu.yaml"))
    assert saved.count("init_temperature: null\n") == 1
    before = saved.replace("init_temperature: null", "init_temperature: 0.07")
    section = "loss:\n  name: infonce\n  label_smoothing: 0.0\n  mask_identical: false\n"
    assert before.count(section) == 1
    path = tmp_path / "config.yaml"
    path.write_text(before.replace(section, ""))
    config = load_config(path)
    assert config.loss == LossConfig()
    assert resolve_architecture(config.model, TOKENIZER).init_temperature == 0.07
