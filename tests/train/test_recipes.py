"""Every recipe loads, and its model builds at its real size (on the meta device: shapes without memory)."""

from __future__ import annotations

import functools
import re
from pathlib import Path

import open_clip
import pytest
import torch
import yaml
from open_clip.model import CLIP

from engine.errors import UserError
from train.config import load_config, to_yaml
from train.model.architecture import (
    ModelConfig,
    TextConfig,
    TokenizerFacts,
    VisionConfig,
    resolve_architecture,
)
from train.model.contrastive import build_clip

RECIPES = sorted((Path(__file__).parents[2] / "yamls").glob("*.yaml"))
CLIP_TOKENIZER = TokenizerFacts("clip", "a" * 64, 77, 49408, 49407, 0)
T5 = TokenizerFacts("t5-base", "b" * 64, 64, 32100, 1, 0)
# The open_clip model that a recipe must be, parameter by parameter, and its size as open_clip publishes it
# (docs/model_profile.csv; H/14 is at 336 pixels here: 320 more positions of 1,280 numbers). Millions.
NAMED = {
    "clip_b16": ("ViT-B-16", 149.62),
    "veclip_b16": ("ViT-B-16", 149.62),
    "laclip_b16": ("ViT-B-16", 149.62),
    "veclip_l14": ("ViT-L-14", 427.62),
    "veclip_dfn_l14": ("ViT-L-14", 427.62),
    "veclip_h14_336": ("ViT-H-14", 986.11 + 320 * 1280 / 1e6),
}
# Recipes with sizes of their own: parameters by `parameter_count`, which knows nothing of open_clip.
OWN_SIZES = {path.stem for path in RECIPES} - NAMED.keys()
IMAGE_TOKENS = {"veclip_l14": 257, "veclip_h14_336": 577, **dict.fromkeys(("clip_b16", "veclip_b16"), 197)}
LAUNCH = re.compile(r"composer -n (\d+) train/run\.py (yamls/\S+\.yaml)")


def launches(path: Path) -> list[int]:
    """Ranks that the recipe's own comment starts it with; Composer takes one where it names none."""
    found = [int(n) for n, name in LAUNCH.findall(path.read_text()) if name == f"yamls/{path.name}"]
    return found or [1]


@functools.cache
def built(path: Path) -> CLIP:
    config = load_config(path)
    model = build_clip(resolve_architecture(config.model, CLIP_TOKENIZER), config.seed, device="meta")
    assert all(p.is_meta for p in model.parameters())
    return model


def parameter_count(image: int, patch: int, width: int, layers: int, text: tuple[int, int], out: int) -> int:
    """Of a CLIP of vision and text transformers (Radford et al. 2021), by hand: both with MLPs four times as
    wide as they are, norms before each part and after all, no bias in the projections."""

    def transformer(width: int, layers: int) -> int:
        attention, mlp, norms = 4 * width * (width + 1), 8 * width * width + 5 * width, 4 * width
        return layers * (attention + mlp + norms)

    words, deep = text
    vision = 3 * patch**2 * width + width + ((image // patch) ** 2 + 1) * width + 4 * width + width * out
    reading = (CLIP_TOKENIZER.vocab_size + CLIP_TOKENIZER.context_length) * words + 2 * words + words * out
    return vision + transformer(width, layers) + reading + transformer(words, deep) + 1


@pytest.mark.parametrize("path", RECIPES, ids=lambda p: p.stem)
def test_parameters(path: Path) -> None:
    config, model = load_config(path), built(path)
    found = sum(p.numel() for p in model.parameters())
    if path.stem in NAMED:
        name, millions = NAMED[path.stem]
        assert found / 1e6 == pytest.approx(millions, abs=0.01)
        with torch.device("meta"):
            theirs = open_clip.create_model(name, device="meta", force_image_size=config.data.image_size)
        shapes = {n: v.shape for n, v in theirs.state_dict().items()}
        assert {n: v.shape for n, v in model.state_dict().items()} == shapes
    else:
        vision, text = config.model.vision, config.model.text
        assert vision is not None
        assert text is not None
        sizes = (vision.image_size, vision.patch_size, vision.width, vision.layers)
        assert found == parameter_count(*sizes, (text.width, text.layers), config.model.embed_dim or 0)
        assert found < 30e6


@pytest.mark.parametrize("path", RECIPES, ids=lambda p: p.stem)
def test_tokens(path: Path) -> None:
    """Of images: patches and the class token; of texts: the data's context and vocabulary."""
    config, model = load_config(path), built(path)
    side = config.data.image_size // model.visual.conv1.kernel_size[0]
    assert config.data.image_size == model.visual.image_size[0] == side * model.visual.conv1.kernel_size[0]
    assert len(model.visual.positional_embedding) == side**2 + 1 == IMAGE_TOKENS.get(path.stem, side**2 + 1)
    assert model.positional_embedding.shape[0] == model.attn_mask.shape[0] == CLIP_TOKENIZER.context_length
    assert model.token_embedding.num_embeddings == CLIP_TOKENIZER.vocab_size
    t5 = build_clip(resolve_architecture(config.model, T5), config.seed, device="meta")
    assert (t5.token_embedding.num_embeddings, len(t5.positional_embedding)) == (32100, 64)


@pytest.mark.parametrize("path", RECIPES, ids=lambda p: p.stem)
def test_the_batch_divides_among_the_ranks_it_is_started_with(path: Path) -> None:
    for ranks in launches(path):
        config = load_config(path, world_size=ranks)
        assert config.data.batch_size * ranks == config.global_train_batch_size
        micro = config.device_train_microbatch_size
        assert micro is None or (isinstance(micro, int) and micro <= config.data.batch_size)


def test_the_large_recipes_name_their_ranks() -> None:
    expected = {
        "clip_b16": [8],
        "veclip_b16": [8],
        "laclip_b16": [8],
        "veclip_l14": [64],
        "veclip_dfn_l14": [64],
    }
    found = {path.stem: launches(path) for path in RECIPES if path.stem in NAMED}
    assert found == {**expected, "veclip_h14_336": [128]}


@pytest.mark.parametrize("path", RECIPES, ids=lambda p: p.stem)
def test_the_saved_config_gives_the_same_run(path: Path, tmp_path: Path) -> None:
    config = load_config(path, ["run_name=x", "data.policy.within=first"])
    saved = tmp_path / "config.yaml"
    saved.write_text(to_yaml(config))
    assert load_config(saved) == config


def test_the_papers_batches_and_mix() -> None:
    paths = {p.stem: p for p in RECIPES}
    recipes = {name: yaml.safe_load(path.read_text()) for name, path in paths.items()}
    assert recipes["veclip_b16"]["global_train_batch_size"] == 8192
    for name in ("veclip_l14", "veclip_dfn_l14", "veclip_h14_336"):
        assert recipes[name]["global_train_batch_size"] == 32768
    for name in ("veclip_dfn_l14", "veclip_h14_336"):
        assert list(load_config(paths[name]).data.streams) == ["vecap", "dfn"]
    for name in ("veclip_b16", "veclip_l14", "veclip_dfn_l14", "veclip_h14_336"):
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
        (["fsdp={}", "device_train_microbatch_size=4"], "fsdp and device_train_microbatch_size: .* give one"),
        (["fsdp={}", "channels_last=true"], "fsdp and channels_last: .* give one"),
        (["ema={half_life: soon}"], "ema.half_life: 'soon' is not a time"),
        (["ema={half_life: 0ba}"], "ema.half_life: 0ba given; expected more than 0"),
        (["model.lock_image={}"], "model.lock_image: a locked tower keeps its weights"),
        (["model.lock_text={}", "model.weights={path: x, towers: image}"], "model.lock_text: a locked tower"),
        (["model.lock_image={}", "model.lock_text={}", "load_path=x"], "leave nothing to learn"),
        (["model.weights={path: x}", "load_path=y"], "model.weights and load_path: .* give one of them"),
        (["eval_interval=0ba"], "eval_interval: 0ba given; expected more than 0"),
        (["save_interval=often"], "save_interval: 'often' is not a time"),
        (["eval_interval=1x"], "eval_interval: '1x' is not a time"),
        (["optimizer.lr=-1"], "optimizer.lr: -1.0 given"),
        (["optimizer.betas=[0.9, 1.5]"], "optimizer.betas"),
        (["model.vision.patch_dropout=1"], "model's patch_dropout: 1.0 given; expected 0"),
        (["model.patch_dropout=0.5"], "model.patch_dropout: only with name"),
        (["model.init_temperature=0"], "model.init_temperature: 0.0 given"),
        (["data.scale=[0.9, 0.5]"], "^data.scale: 0.9, 0.5 given"),
        (["retrieval.dtype=float23"], "^retrieval.dtype: 'float23' given"),
        (["data.policy.within=best"], "^data.policy.within: 'best' given"),
    ],
)
def test_refusals(words: list[str], message: str) -> None:
    tiny = next(p for p in RECIPES if p.stem == "tiny_cpu")
    with pytest.raises(UserError, match=message):
        load_config(tiny, words, world_size=2)


def test_a_named_model_with_patch_dropout() -> None:
    path = next(p for p in RECIPES if p.stem == "veclip_b16")
    config = load_config(path, ["model.patch_dropout=0.5"])
    model = build_clip(resolve_architecture(config.model, CLIP_TOKENIZER), 0, device="meta")
    assert (model.visual.patch_dropout.prob, config.data.image_size) == (0.5, 224)


def _sized(text: TextConfig) -> ModelConfig:
    return ModelConfig(embed_dim=8, vision=VisionConfig(32, 1, 64, 16), text=text)


def test_the_tokenizer_decides_vocabulary_and_pooling() -> None:
    clip = resolve_architecture(_sized(TextConfig(1, 8, 2)), CLIP_TOKENIZER)
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
        resolve_architecture(_sized(TextConfig(1, 8, 2, context_length=32)), CLIP_TOKENIZER)
