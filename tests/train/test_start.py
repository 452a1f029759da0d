"""Locked towers are open_clip's, and cost neither graph nor moments; starting weights come from its files."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from open_clip.model import CLIP
from safetensors.torch import save_file

from engine.errors import UserError
from tests.train.kit import (
    BATCH,
    NORMALISATION,
    TOKENIZER,
    Grads,
    assert_same,
    small_batch,
    small_clip,
    small_model,
    step,
)
from train.model.architecture import LockImage, LockText, ModelConfig, StartWeights
from train.model.contrastive import ContrastiveModel
from train.model.optim import OptimizerConfig, build_optimizer
from train.model.start import load_start, lock_towers

ALWAYS = {"logit_scale"}


def locked(**locks: Any) -> CLIP:
    clip = small_clip()
    lock_towers(clip, ModelConfig(**locks))
    return clip


def trainable(clip: CLIP) -> set[str]:
    return {name for name, parameter in clip.named_parameters() if parameter.requires_grad}


def named(clip: CLIP, *starts: str) -> set[str]:
    return {name for name, _ in clip.named_parameters() if name.startswith(starts)}


@pytest.mark.parametrize("groups", range(4))
def test_the_same_parameters_train_as_in_open_clip(groups: int) -> None:
    theirs = small_clip()
    theirs.lock_image_tower(unlocked_groups=groups)
    assert trainable(locked(lock_image=LockImage(groups))) == trainable(theirs)
    theirs = small_clip()
    theirs.lock_text_tower(unlocked_layers=groups)
    assert trainable(locked(lock_text=LockText(groups))) == trainable(theirs)


def test_which_those_are() -> None:
    """By name, so that a change in open_clip is seen."""
    clip, text = (
        small_clip(),
        ("transformer", "token_embedding", "positional_embedding", "ln_final", "text_p"),
    )
    words = named(clip, *text) | ALWAYS
    assert trainable(locked(lock_image=LockImage())) == words
    assert trainable(locked(lock_image=LockImage(1))) == words | {"visual.proj"}
    last = named(clip, "visual.proj", "visual.transformer.resblocks.1", "visual.ln_post")
    assert trainable(locked(lock_image=LockImage(2))) == words | last
    last = named(clip, "visual", "text_p", "transformer.resblocks.1", "ln_final") | ALWAYS
    assert trainable(locked(lock_text=LockText(2))) == last


def test_unlocked_groups_beyond_the_tower_are_refused() -> None:
    with pytest.raises(
        UserError, match="unlocked_groups: 4 given; the tower has 4 groups, so expected 0 to 3"
    ):
        locked(lock_image=LockImage(4))
    with pytest.raises(UserError, match="unlocked_layers: -1 given"):
        locked(lock_text=LockText(-1))
    with pytest.raises(UserError, match="leave nothing to learn"):
        ModelConfig(lock_image=LockImage(), lock_text=LockText())


def test_no_moments_and_no_change_of_what_is_locked() -> None:
    model = ContrastiveModel(locked(lock_image=LockImage(1)), NORMALISATION)
    before = copy.deepcopy(model.state_dict())
    optimizer = build_optimizer(model, OptimizerConfig(lr=1e-2))
    step(model, small_batch())
    optimizer.step()
    learnt = {f"clip.{name}" for name in trainable(model.clip)}
    held = {id(parameter) for parameter in optimizer.state}
    assert held == {id(p) for name, p in model.named_parameters() if name in learnt}
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == learnt


def held_bytes(model: ContrastiveModel) -> int:
    """Of activations, for the backward pass of the image tower."""
    own, total = {p.untyped_storage().data_ptr() for p in model.parameters()}, 0

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        nonlocal total
        total += 0 if tensor.untyped_storage().data_ptr() in own else tensor.nbytes
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        model.encode_image(small_batch()["image"])
    return total


def test_a_locked_tower_has_no_graph() -> None:
    """With unlocked groups it begins at the first of them."""
    whole = held_bytes(ContrastiveModel(small_clip(), NORMALISATION))
    assert held_bytes(ContrastiveModel(locked(lock_image=LockImage()), NORMALISATION)) == 0
    assert 0 < held_bytes(ContrastiveModel(locked(lock_image=LockImage(2)), NORMALISATION)) < whole * 0.6


@pytest.mark.parametrize("groups", [0, 1, 2])
def test_gradients_are_those_of_the_unlocked_model(groups: int) -> None:
    """With microbatches too, whose second pass a locked tower is spared."""
    everything = step(small_model(), small_batch())
    seen: list[int] = []
    for microbatch in (None, 3):
        clip = locked(lock_image=LockImage(groups))
        clip.visual.register_forward_hook(lambda _, inputs, __: seen.append(len(inputs[0])))
        model = ContrastiveModel(clip, NORMALISATION, loss=small_model().loss_config, microbatch=microbatch)
        expected: Grads = {
            name: value
            for name, value in everything.items()
            if name in ("loss", "next draw") or name.removeprefix("clip.") in trainable(clip)
        }
        assert_same(step(model, small_batch()), expected, 1e-5)
    assert seen == [BATCH, 3, 3, 2, *([3, 3, 2] if groups else [])]


def other() -> CLIP:
    """Other weights than a run's own start."""
    clip = small_clip(dropout=0.0)
    with torch.no_grad():
        for parameter in clip.parameters():
            parameter.add_(0.5)
    return clip


def saved(folder: Path, kind: str) -> Path:
    state = other().state_dict()
    path = folder / ("open_clip.safetensors" if kind == "safetensors" else f"{kind}.pt")
    if kind == "safetensors":
        save_file(state, path)
    elif kind == "trainer":
        torch.save({"epoch": 3, "state_dict": {f"module.{n}": v for n, v in state.items()}}, path)
    elif kind == "ours":
        torch.save({"state": {"model": {f"clip.{n}": v for n, v in state.items()}, "algorithms": []}}, path)
    else:
        torch.save(state, path)
    return path


@pytest.mark.parametrize("towers", ["both", "image", "text"])
@pytest.mark.parametrize("kind", ["safetensors", "plain", "trainer", "ours"])
def test_starting_weights(tmp_path: Path, kind: str, towers: str) -> None:
    clip, theirs = small_clip(), other().state_dict()
    own = copy.deepcopy(clip.state_dict())
    load_start(clip, StartWeights(str(saved(tmp_path, kind)), towers), TOKENIZER)  # type: ignore[arg-type]
    for name, value in clip.state_dict().items():
        image = name.startswith("visual.")
        taken = towers == "both" or (name != "logit_scale" and image == (towers == "image"))
        assert torch.equal(value, (theirs if taken else own)[name]), name


def test_another_vocabulary_leaves_the_image_tower(tmp_path: Path) -> None:
    state = other().state_dict()
    state["token_embedding.weight"] = torch.zeros(7, 32)
    torch.save(state, tmp_path / "x.pt")
    start = StartWeights(str(tmp_path / "x.pt"))
    match = r"token_embedding.weight is \[7, 32\] there, \[100, 32\] here.*take model.weights.towers=image"
    with pytest.raises(UserError, match=match):
        load_start(small_clip(), start, TOKENIZER)
    load_start(small_clip(), StartWeights(start.path, "image"), TOKENIZER)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("visual.proj"), "it lacks: visual.proj; expected"),
        (lambda s: s.update({"visual.more": torch.zeros(1)}), "it has besides: visual.more"),
        (lambda s: s.update({"epoch": 3}), "not a state dict"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path: Path, change: Any, message: str) -> None:
    state = dict(other().state_dict())
    change(state)
    torch.save(state, tmp_path / "x.pt")
    with pytest.raises(UserError, match=message):
        load_start(small_clip(), StartWeights(str(tmp_path / "x.pt")), TOKENIZER)


def test_files_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "bad.safetensors").write_bytes(b"x" * 20)
    (tmp_path / "bad.pt").write_bytes(b"x" * 20)
    for name, message in (("none.pt", "no such file"), ("bad.safetensors", "not a s"), ("bad.pt", "not a c")):
        with pytest.raises(UserError, match=message):
            load_start(small_clip(), StartWeights(str(tmp_path / name)), TOKENIZER)
