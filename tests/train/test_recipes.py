"""Every recipe loads, and its model builds at its real size (on the meta device: shapes without memory)."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from engine.errors import UserError
from train.architecture import ModelConfig, TextConfig, TokenizerFacts, VisionConfig, resolve_architecture
from train.config import load_config, to_yaml
from train.model import build_clip

RECIPES = sorted((Path(__file__).parents[2] / "yamls").glob("*.yaml"))
CLIP = TokenizerFacts("clip", "a" * 64, 77, 49408, 49407, 0)
T5 = TokenizerFacts("t5-base", "b" * 64, 64, 32100, 1, 0)
# Published sizes (open_clip's table), in millions; H/14 at 336 px has more image positions.
MILLIONS = {
    "clip_b16": 149.6,
    "veclip_b16": 149.6,
    "laclip_b16": 149.6,
    "veclip_l14": 427.6,
    "veclip_h14_336": 986.5,
}


@pytest.mark.parametrize("path", RECIPES, ids=lambda p: p.stem)
def test_recipe_builds_at_real_size(path: Path) -> None:
    config = load_config(path)
    model = build_clip(resolve_architecture(config.model, CLIP), config.seed, device="meta")
    millions = sum(p.numel() for p in model.parameters()) / 1e6
    assert all(p.is_meta for p in model.parameters())
    if path.stem in MILLIONS:
        assert millions == pytest.approx(MILLIONS[path.stem], abs=0.1)
    else:
        assert millions < 30
    assert config.data.image_size == model.visual.image_size[0]


@pytest.mark.parametrize("path", RECIPES, ids=lambda p: p.stem)
def test_the_saved_config_gives_the_same_run(path: Path, tmp_path: Path) -> None:
    config = load_config(path, ["run_name=x", "data.policy.within=first"])
    saved = tmp_path / "config.yaml"
    saved.write_text(to_yaml(config))
    assert load_config(saved) == config


def test_the_papers_batches_and_mix() -> None:
    recipes = {p.stem: yaml.safe_load(p.read_text()) for p in RECIPES}
    assert recipes["veclip_b16"]["global_train_batch_size"] == 8192
    assert recipes["veclip_l14"]["global_train_batch_size"] == 32768
    assert recipes["veclip_h14_336"]["global_train_batch_size"] == 32768
    for name in ("veclip_b16", "veclip_l14", "veclip_h14_336"):
        assert recipes[name]["data"]["policy"]["weights"] == {"alttext": 1, "vecap": 1}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["device_train_microbatch_size=auto"], "would silently have fewer negatives"),
        (["device_train_microbatch_size=0"], "0 given; expected a whole number of at least 1"),
        (["loss.name=clip"], "loss.name: expected one of infonce, siglip"),
        (["data.batch_size=8"], "data.batch_size: cannot be given; it follows from global_train_batch_size"),
        (["retrieval.image_size=8"], "retrieval.image_size: cannot be given"),
        (["optimizer.lrr=1"], r"optimizer.lrr: unknown key \(did you mean lr\?\)"),
        (
            ["model.name=ViT-B-33", "model.vision=null", "model.text=null", "model.embed_dim=null"],
            "no such model",
        ),
        (["model.name=ViT-B-16"], "not both"),
        (["global_train_batch_size=7"], "does not divide among 2 ranks"),
        (["autoresume=true", "save_overwrite=true"], "give one of them"),
        (["save_interval=often"], "save_interval: 'often' is not a time"),
        (["eval_interval=1x"], "eval_interval: '1x' is not a time"),
        (["optimizer.lr=-1"], "optimizer.lr: -1.0 given"),
        (["optimizer.betas=[0.9, 1.5]"], "optimizer.betas"),
        (["model.init_temperature=0"], "model.init_temperature: 0.0 given"),
        (["data.scale=[0.9, 0.5]"], "^data.scale: 0.9, 0.5 given"),
        (["retrieval.dtype=float16"], "^retrieval.dtype: 'float16' given"),
        (["data.policy.within=best"], "^data.policy.within: 'best' given"),
    ],
)
def test_refusals(words: list[str], message: str) -> None:
    tiny = next(p for p in RECIPES if p.stem == "tiny_cpu")
    with pytest.raises(UserError, match=message):
        load_config(tiny, words, world_size=2)


def _sized(text: TextConfig) -> ModelConfig:
    return ModelConfig(embed_dim=8, vision=VisionConfig(32, 1, 64, 16), text=text)


def test_the_tokenizer_decides_vocabulary_and_pooling() -> None:
    clip = resolve_architecture(_sized(TextConfig(1, 8, 2)), CLIP)
    t5 = resolve_architecture(_sized(TextConfig(1, 8, 2)), T5)
    assert (clip.text["pool_type"], clip.text["vocab_size"], clip.text["context_length"]) == (
        "argmax",
        49408,
        77,
    )
    assert (t5.text["pool_type"], t5.text["vocab_size"], t5.text["eos_id"]) == ("eos", 32100, 1)
    with pytest.raises(UserError, match="argmax needs the end token to have the largest id"):
        resolve_architecture(_sized(TextConfig(1, 8, 2, pooling="argmax")), T5)
    with pytest.raises(UserError, match="shard it with --context-length 32"):
        resolve_architecture(_sized(TextConfig(1, 8, 2, context_length=32)), CLIP)
