"""Features are the same in stock open_clip and stock transformers, and after each way back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from torch.nn import functional
from transformers import AutoTokenizer, CLIPConfig, CLIPImageProcessor, CLIPModel

from engine.errors import UserError
from engine.tokenizers import load_tokenizer
from tests.engine.t5_kit import write_t5
from train.formats import hugging_face, onnx_towers, open_clip_folder
from train.formats.model import Exported
from train.formats.tokenizer_files import facts_of
from train.keeping.checkpoints import ModelCard
from train.model.architecture import ModelConfig, TextConfig, VisionConfig, resolve_architecture
from train.model.contrastive import Normalisation, build_clip, encode_text

TEXTS = ["a dog on a beach", "Two CATS, one sofa & 3 books!", "x" * 400]
NORMALISATION = Normalisation((0.48, 0.45, 0.40), (0.26, 0.27, 0.28))


def small(tokenizer: str = "clip", context: int = 24, **more: Any) -> Exported:
    facts = facts_of(load_tokenizer(tokenizer, context))
    vision = VisionConfig(32, 2, 64, 8, 32)
    config = ModelConfig(embed_dim=48, vision=vision, text=TextConfig(2, 64, 2), **more)
    architecture = resolve_architecture(config, facts)
    clip = build_clip(architecture, seed=3)
    with torch.no_grad():  # as after training: no two parameters alike
        for parameter in clip.parameters():
            parameter += 0.02 * torch.randn_like(parameter)
    return Exported(clip.eval(), ModelCard(architecture, facts, NORMALISATION))


@pytest.fixture(scope="module", params=[False, True], ids=["gelu", "quick_gelu"])
def model(request: pytest.FixtureRequest) -> Exported:
    return small(quick_gelu=request.param)


def ids(model: Exported, tokenizer: str = "clip") -> torch.Tensor:
    """int64 [texts, context], as the loaders make them."""
    own = load_tokenizer(tokenizer, model.card.tokenizer.context_length)
    found, lengths = own.encode_batch(TEXTS)
    rows = torch.split(torch.from_numpy(found.astype("int64")), lengths.tolist())
    filled = [functional.pad(row, (0, own.context_length - len(row)), value=own.pad_id) for row in rows]
    return torch.stack(filled)


def features(model: Exported, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    with torch.inference_mode():
        return functional.normalize(model.clip.encode_image(images), dim=-1), encode_text(
            model.clip, ids(model)
        )


IMAGES = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def test_stock_open_clip_loads_it(model: Exported, tmp_path: Path) -> None:
    open_clip_folder.write(model, tmp_path / "out")
    name = f"local-dir:{tmp_path / 'out'}"
    loaded, _, transform = open_clip.create_model_and_transforms(name)
    tokens = open_clip.get_tokenizer(name)(TEXTS)
    with torch.inference_mode():
        image = loaded.eval().encode_image(IMAGES, normalize=True)
        text = loaded.encode_text(tokens, normalize=True)
    own_image, own_text = features(model, IMAGES)
    torch.testing.assert_close(image, own_image, rtol=0, atol=1e-5)
    torch.testing.assert_close(text, own_text, rtol=0, atol=1e-5)
    assert "mean=[0.48, 0.45, 0.4], std=[0.26, 0.27, 0.28]" in str(transform)
    assert "Resize(size=32, interpolation=bicubic" in str(transform)
    assert loaded.logit_scale == model.clip.logit_scale


def test_stock_transformers_load_it(model: Exported, tmp_path: Path) -> None:
    hugging_face.write(model, tmp_path / "out")
    loaded = CLIPModel.from_pretrained(tmp_path / "out").eval()
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    words = tokenizer(TEXTS, padding=True, truncation=True, return_tensors="pt")
    with torch.inference_mode():
        outputs = loaded(**words, pixel_values=IMAGES)
    own_image, own_text = features(model, IMAGES)
    torch.testing.assert_close(outputs.image_embeds, own_image, rtol=0, atol=1e-5)
    torch.testing.assert_close(outputs.text_embeds, own_text, rtol=0, atol=1e-5)
    assert loaded.logit_scale == model.clip.logit_scale
    processor = CLIPImageProcessor.from_pretrained(tmp_path / "out")
    assert (tuple(processor.image_mean), processor.crop_size["height"]) == (NORMALISATION.mean, 32)


@pytest.mark.parametrize("way", [open_clip_folder, hugging_face], ids=["open_clip", "hugging_face"])
def test_there_and_back(model: Exported, tmp_path: Path, way: Any) -> None:
    """Bit for bit, with the same tokenizer and normalisation."""
    way.write(model, tmp_path / "out")
    back = way.read(tmp_path / "out")
    expected, found = model.clip.state_dict(), back.clip.state_dict()
    assert expected.keys() == found.keys()
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    assert back.card.tokenizer == model.card.tokenizer
    assert back.card.normalisation == model.card.normalisation
    for one, other in zip(features(model, IMAGES), features(back, IMAGES), strict=True):
        assert torch.equal(one, other)


def test_onnx_gives_the_same_features_for_any_batch(model: Exported, tmp_path: Path) -> None:
    runtime = pytest.importorskip("onnxruntime")
    onnx_towers.write(model, tmp_path / "out")
    image, text = features(model, IMAGES)
    for file, name, inputs, expected in (
        (onnx_towers.IMAGE, "image", IMAGES, image),
        (onnx_towers.TEXT, "text", ids(model), text),
    ):
        session = runtime.InferenceSession(str(tmp_path / "out" / file), providers=["CPUExecutionProvider"])
        for size in (1, len(inputs)):
            (found,) = session.run(None, {name: inputs[:size].numpy()})
            torch.testing.assert_close(torch.from_numpy(found), expected[:size], rtol=0, atol=1e-5)
    assert ModelCard.load(tmp_path / "out" / "model.json") == model.card


def test_a_model_as_veclip_releases_them(tmp_path: Path) -> None:
    """A CLIPModel saved by transformers itself, that reads T5's tokenizer and has no tokenizer's files."""
    t5 = write_t5(tmp_path / "tiny-t5")
    tower = {"num_hidden_layers": 2, "hidden_size": 64, "num_attention_heads": 2, "intermediate_size": 256}
    reader = {**tower, "vocab_size": 64, "max_position_embeddings": 20, "eos_token_id": 1, "pad_token_id": 0}
    vision = {**tower, "image_size": 32, "patch_size": 8}
    torch.manual_seed(5)
    theirs = CLIPModel(CLIPConfig(text_config=reader, vision_config=vision, projection_dim=48)).eval()
    theirs.save_pretrained(tmp_path / "veclip")
    with pytest.raises(UserError, match=r"no tokenizer's files; say which one.*t5-base"):
        hugging_face.read(tmp_path / "veclip")
    ours = hugging_face.read(tmp_path / "veclip", str(t5))
    assert (ours.card.tokenizer.eos_id, ours.card.architecture.text["pool_type"]) == (1, "eos")
    words = AutoTokenizer.from_pretrained(t5)(["a dog", "in the snow."], padding=True, return_tensors="pt")
    with torch.inference_mode():
        expected = theirs(**words, pixel_values=IMAGES)
        image = functional.normalize(ours.clip.encode_image(IMAGES), dim=-1)
        found = encode_text(
            ours.clip, functional.pad(words["input_ids"], (0, 20 - words["input_ids"].shape[1]))
        )
    torch.testing.assert_close(found, expected.text_embeds, rtol=0, atol=1e-5)
    torch.testing.assert_close(image, expected.image_embeds, rtol=0, atol=1e-5)
    with pytest.raises(UserError, match="the text tower knows 64 ids, the tokenizer clip has 49408"):
        hugging_face.read(tmp_path / "veclip", "clip")
    hugging_face.write(ours, tmp_path / "again", str(t5))
    again = hugging_face.read(tmp_path / "again")
    assert again.card.tokenizer.fingerprint == ours.card.tokenizer.fingerprint


def test_what_clip_model_lacks_is_refused(tmp_path: Path) -> None:
    model = small()
    siglip = resolve_architecture(
        ModelConfig(embed_dim=48, vision=VisionConfig(32, 2, 64, 8, 32), text=TextConfig(2, 64, 2)),
        model.card.tokenizer,
        "siglip",
    )
    card = ModelCard(siglip, model.card.tokenizer, NORMALISATION)
    with pytest.raises(UserError, match="no a bias of the logits"):
        hugging_face.write(Exported(build_clip(siglip, 1), card), tmp_path / "out")
    assert not (tmp_path / "out").exists()
    open_clip_folder.write(Exported(build_clip(siglip, 1), card), tmp_path / "other")
    loaded = open_clip.create_model(f"local-dir:{tmp_path / 'other'}")
    assert loaded.logit_bias == -10
    with pytest.raises(UserError, match="already there and not empty"):
        open_clip_folder.write(model, tmp_path / "other")


def test_broken_folders_are_named(tmp_path: Path) -> None:
    for way in (open_clip_folder, hugging_face):
        with pytest.raises(UserError, match="not found; expected"):
            way.read(tmp_path)
    model = small()
    hugging_face.write(model, tmp_path / "hf")
    (tmp_path / "hf" / "vocab.json").unlink()
    (tmp_path / "hf" / "tokenizer_config.json").unlink()
    with pytest.raises(UserError, match="no tokenizer's files; say which one"):
        hugging_face.read(tmp_path / "hf")
    assert hugging_face.read(tmp_path / "hf", "clip").card.tokenizer == model.card.tokenizer
    weights = tmp_path / "hf" / hugging_face.WEIGHTS
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(UserError, match="not a CLIPModel that can be read"):
        hugging_face.read(tmp_path / "hf", "clip")
