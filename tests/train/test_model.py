"""The model is open_clip's: same features, same start for the same seed."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from tests.train.kit import assert_same, small_batch, small_model, step
from train.heldout.retrieval import encode
from train.model.architecture import (
    ModelConfig,
    TextConfig,
    TokenizerFacts,
    VisionConfig,
    resolve_architecture,
)
from train.model.contrastive import ContrastiveModel, Normalisation, build_clip, encode_text

TOKENIZERS = {
    "argmax": TokenizerFacts("clip", "a" * 64, 24, 100, 99, 0),
    "eos": TokenizerFacts("t5", "b" * 64, 24, 100, 1, 0),
}


def _clip(pooling: str, seed: int = 1) -> torch.nn.Module:
    config = ModelConfig(embed_dim=8, vision=VisionConfig(32, 1, 64, 16), text=TextConfig(2, 16, 2))
    return build_clip(resolve_architecture(config, TOKENIZERS[pooling]), seed)


def _texts(eos: int) -> torch.Tensor:
    text = torch.zeros(6, 24, dtype=torch.int64)
    for row, length in enumerate((3, 9, 5, 12, 4, 7)):
        text[row, :length] = torch.arange(2, 2 + length)
        text[row, length] = eos
    return text


@pytest.mark.parametrize("pooling", ["argmax", "eos"])
@torch.no_grad()
def test_cutting_off_shared_padding_changes_nothing(pooling: str) -> None:
    clip = _clip(pooling)
    text = _texts(TOKENIZERS[pooling].eos_id)
    torch.testing.assert_close(encode_text(clip, text), clip.encode_text(text, normalize=True))


@torch.no_grad()
def test_patch_dropout_leaves_patches_out_in_training_alone() -> None:
    """The class token always stays."""
    model, seen = small_model(dropout=0.5), []
    model.clip.visual.transformer.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0].shape[1]))
    model.train().encode_image(small_batch()["image"])
    model.eval().encode_image(small_batch()["image"])
    assert seen == [1 + 16 // 2, 1 + 16]


def test_gradient_checkpointing_keeps_less_and_gives_the_same() -> None:
    """Of a block, only its input is kept for the backward pass."""
    plain, checkpointed = small_model(), small_model()
    checkpointed.clip.set_grad_checkpointing(True)
    assert_same(step(checkpointed, small_batch()), step(plain, small_batch()), 1e-6)
    held = []
    for model in (plain, checkpointed):
        sizes: list[int] = []
        with torch.autograd.graph.saved_tensors_hooks(
            lambda t, s=sizes: (s.append(t.nbytes), t)[1], lambda t: t
        ):
            model(small_batch())
        held.append(sum(sizes))
    assert held[1] < held[0] / 2


def test_one_seed_gives_one_start_and_leaves_the_global_state_alone() -> None:
    before = torch.random.get_rng_state()
    first, again, other = _clip("argmax", 1), _clip("argmax", 1), _clip("argmax", 2)
    assert torch.equal(before, torch.random.get_rng_state())
    for name, value in first.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name
    assert not torch.equal(first.token_embedding.weight, other.token_embedding.weight)
    assert float(first.logit_scale.exp()) == pytest.approx(1 / 0.07)


def test_a_held_out_batch_may_have_no_caption() -> None:
    model = ContrastiveModel(_clip("argmax"), Normalisation((0.5,) * 3, (0.5,) * 3))
    none, some = torch.zeros(0, 24, dtype=torch.int64), _texts(99)[:2]
    image, nobody = torch.zeros(2, 3, 32, 32), torch.zeros(0, dtype=torch.int64)
    owner, source = torch.tensor([0, 1]), torch.tensor([1, 0])
    batches = [
        {"image": image, "text": none, "image_of_text": nobody, "source_of_text": nobody},
        {"image": image, "text": some, "image_of_text": owner, "source_of_text": source},
    ]
    found = encode(model, batches)
    assert (len(found.image), len(found.text), found.image_of_text.tolist()) == (4, 2, [2, 3])
    assert found.source_of_text.tolist() == [1, 0]


@torch.no_grad()
def test_uint8_is_normalised_as_torchvision_does() -> None:
    mean, std = (0.4, 0.5, 0.6), (0.2, 0.3, 0.25)
    model = ContrastiveModel(_clip("argmax"), Normalisation(mean, std))
    image = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    wanted = (image / 255 - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
    expected = F.normalize(model.clip.encode_image(wanted), dim=-1)
    torch.testing.assert_close(model.encode_image(image), expected)
    torch.testing.assert_close(model.encode_image(wanted), expected)
