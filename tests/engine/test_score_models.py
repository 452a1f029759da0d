"""Models that score: each library's features on its own images and texts, and what is no model."""

from __future__ import annotations

import io
import json
import logging
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from engine.errors import UserError
from engine.native import Limits, ThreadPool
from engine.scoring import scorer as scorer_module
from engine.scoring.options import Compute, ModelChoice
from engine.scoring.scorer import open_scorer

torch = pytest.importorskip("torch")
open_clip = pytest.importorskip("open_clip")
kit: Any = pytest.importorskip("score_kit")

TEXTS = [
    "a dog",
    "a very long caption, " * 20,
    "&amp;lt; caf\u00e9",
    "\u72ac\u306e\u5199\u771f",
    "<end_of_text> !",
    "...",
]
CPU = Compute("cpu", "fp32")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(kit.make_models(tmp_path_factory.mktemp("models")))


@pytest.fixture(autouse=True)
def _no_model_stays() -> Iterator[None]:
    yield
    open_scorer.cache_clear()


def images() -> list[bytes]:
    """Sizes where the libraries cut the centre out at different places."""
    files = []
    for at, size in enumerate([(48, 48), (90, 61), (61, 95), (33, 32), (200, 37), (32, 35)]):
        pixels = np.random.default_rng(at).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
        stream = io.BytesIO()
        Image.fromarray(pixels).save(stream, "jpeg" if at % 2 else "png")
        files.append(stream.getvalue())
    return files


def cosines(images: NDArray[np.float32], texts: NDArray[np.float32]) -> NDArray[np.float32]:
    def unit(x: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(x / np.linalg.norm(x, axis=-1, keepdims=True), np.float32)

    return unit(images) @ unit(texts).T


def by_open_clip(folder: Path) -> NDArray[np.float32]:
    model, _, transform = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    model.eval()
    pixels = torch.stack([transform(Image.open(io.BytesIO(image))) for image in images()])
    ids = open_clip.get_tokenizer(f"local-dir:{folder}")(TEXTS)
    with torch.inference_mode():
        return cosines(model.encode_image(pixels).numpy(), model.encode_text(ids).numpy())


def by_transformers(folder: Path) -> NDArray[np.float32]:
    import transformers

    model: Any = transformers.AutoModel.from_pretrained(folder)
    images_of: Any = transformers.AutoImageProcessor
    texts_of: Any = transformers.AutoTokenizer
    model.eval()
    pixels = images_of.from_pretrained(folder, use_fast=False)(
        images=[Image.open(io.BytesIO(image)).convert("RGB") for image in images()], return_tensors="pt"
    )
    siglip = "siglip" in folder.name
    words = texts_of.from_pretrained(folder)(
        TEXTS, padding="max_length", truncation=True, max_length=kit.CONTEXT, return_tensors="pt"
    )
    given = {"input_ids": words.input_ids} if siglip else dict(words)
    given.pop("token_type_ids", None)
    with torch.inference_mode():
        outputs = model(pixel_values=pixels.pixel_values, **given)
    return cosines(outputs.image_embeds.numpy(), outputs.text_embeds.numpy())


@pytest.mark.parametrize(
    ("name", "reference"),
    [
        ("open_clip", by_open_clip),
        ("squash", by_open_clip),
        ("clip", by_transformers),
        ("clip_larger", by_transformers),
        ("siglip", by_transformers),
    ],
)
def test_features_are_those_of_the_library_on_pil_images(
    models: Path, name: str, reference: Callable[[Path], NDArray[np.float32]]
) -> None:
    scorer = open_scorer(ModelChoice(str(models / name)), CPU)
    pixels, status = scorer.transform.apply(images(), ThreadPool(1), Limits())
    assert not status.any()
    ours = scorer.image_features(pixels) @ scorer.text_features(scorer.reader(TEXTS)).T
    theirs = reference(models / name)
    assert np.abs(theirs).max() > 0.02
    assert np.abs(ours - theirs).max() < 1e-5
    assert np.ptp(theirs, axis=0).min() > 1e-4, "the images must differ for the model"


@pytest.mark.parametrize("name", ["open_clip", "clip", "siglip"])
def test_long_texts_are_counted_in_full(models: Path, name: str) -> None:
    scorer = open_scorer(ModelChoice(str(models / name)), CPU)
    tokens = scorer.reader(["a", "a" + " very" * 500])
    assert tokens.ids.shape == (2, kit.CONTEXT)
    assert tokens.lengths[0] == 3
    assert tokens.lengths[1] == (3 + 500 if name == "open_clip" else 3 + 500 * 5)


def test_other_tokenizers_of_open_clip_are_asked_themselves(models: Path, tmp_path: Path) -> None:
    """Only the usual one has a faster double here."""
    folder = Path(shutil.copytree(models / "open_clip", tmp_path / "other"))
    described = json.loads((folder / "open_clip_config.json").read_text())
    described["model_cfg"]["text_cfg"]["tokenizer_kwargs"] = {"clean": "canonicalize"}
    (folder / "open_clip_config.json").write_text(json.dumps(described))
    reader = open_scorer(ModelChoice(str(folder)), CPU).reader
    wanted = open_clip.get_tokenizer(f"local-dir:{folder}")(TEXTS).numpy()
    assert np.array_equal(reader(TEXTS).ids, wanted)
    usual = open_scorer(ModelChoice(str(models / "open_clip")), CPU).reader
    assert not np.array_equal(usual(TEXTS).ids, wanted)
    assert reader(["a dog", "a dog" * 40]).lengths.tolist()[0] == 4


def without(models: Path, folder: Path, *names: str) -> Path:
    copy = Path(shutil.copytree(models / "open_clip", folder))
    for name in names:
        (copy / name).unlink()
    return copy


def test_models_that_cannot_be_loaded_are_named(models: Path, tmp_path: Path) -> None:
    def error(model: str | Path, pretrained: str | None = None) -> str:
        with pytest.raises(UserError) as caught:
            open_scorer(ModelChoice(str(model), pretrained), CPU)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    weights, config = "open_clip_model.safetensors", "open_clip_config.json"
    assert "has no weights" in error(without(models, tmp_path / "a", weights))
    assert "holds neither open_clip_config.json" in error(without(models, tmp_path / "b", config))
    broken = without(models, tmp_path / "c")
    (broken / weights).write_bytes((broken / weights).read_bytes()[:5000])
    assert "open_clip cannot load it" in error(broken)
    (broken / config).write_text("{")
    assert "open_clip cannot load it" in error(broken)
    assert "no such folder" in error(tmp_path / "nowhere")
    assert "did you mean ViT-B-32?" in error("ViT-B-23")
    assert "needs --pretrained" in error("ViT-B-32")
    assert "was trained with QuickGELU, unlike ViT-B-32; the architecture is ViT-B-32-quickgelu" in error(
        "ViT-B-32", "openai"
    )
    assert "no such weights of ViT-B-32 (did you mean laion2b_s34b_b79k?)" in error(
        "ViT-B-32", "laion2b_s34b"
    )
    padded = Path(shutil.copytree(models / "open_clip", tmp_path / "d"))
    described = json.loads((padded / config).read_text())
    described["preprocess_cfg"]["resize_mode"] = "longest"
    (padded / config).write_text(json.dumps(described))
    assert "resize_mode longest" in error(padded)


def test_hugging_face_models_that_cannot_score_are_named(models: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file
    from transformers import CLIPImageProcessor, CLIPTextConfig, CLIPTextModel

    def error(model: Path) -> str:
        with pytest.raises(UserError) as caught:
            open_scorer(ModelChoice(str(model)), CPU)
        return str(caught.value)

    half = Path(shutil.copytree(models / "clip", tmp_path / "half"))
    state = load_file(half / "model.safetensors")
    del state["visual_projection.weight"]
    save_file(state, half / "model.safetensors", {"format": "pt"})
    logging.disable(logging.WARNING)
    try:
        assert "its weights lack visual_projection.weight" in error(half)
    finally:
        logging.disable(logging.NOTSET)
    texts = tmp_path / "texts"
    kit.make_hf_tokenizer(texts)
    CLIPTextModel(CLIPTextConfig(**kit._tower(), vocab_size=300)).save_pretrained(texts)
    CLIPImageProcessor().save_pretrained(texts)
    assert "has no features of images and texts" in error(texts)
    box = Path(shutil.copytree(models / "clip", tmp_path / "box"))
    CLIPImageProcessor(size={"shortest_edge": 20}, crop_size=32, resample=4).save_pretrained(box)
    assert re.search("image transform .* is not known here", error(box))


def test_an_architecture_with_a_file_of_weights(tmp_path: Path) -> None:
    """As a training run of open_clip leaves them."""
    name = "test-tiny"
    config = {
        "embed_dim": 16,
        "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "patch_size": 16, "head_width": 16},
        "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 16, "heads": 1, "layers": 1},
    }
    (tmp_path / f"{name}.json").write_text(json.dumps(config))
    open_clip.add_model_config(tmp_path)
    torch.save({"state_dict": open_clip.model.CLIP(**config).state_dict()}, tmp_path / "epoch_1.pt")
    scorer = open_scorer(ModelChoice(name, str(tmp_path / "epoch_1.pt")), CPU)
    assert (scorer.transform.size, scorer.reader.context) == (32, 16)
    assert list(scorer.description["files"]) == ["epoch_1.pt"]
    assert scorer.description["architecture"] == name


def test_bf16_is_close_and_another_scorer(models: Path) -> None:
    exact = open_scorer(ModelChoice(str(models / "open_clip")), CPU)
    rounded = open_scorer(ModelChoice(str(models / "open_clip")), replace(CPU, precision="bf16"))
    assert exact.id != rounded.id
    pixels, _ = exact.transform.apply(images(), ThreadPool(1), Limits())
    tokens = exact.reader(TEXTS)
    one = exact.image_features(pixels) @ exact.text_features(tokens).T
    other = rounded.image_features(pixels) @ rounded.text_features(tokens).T
    assert 0 < np.abs(one - other).max() < 0.02


def test_many_texts_are_embedded_in_portions(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scorer = open_scorer(ModelChoice(str(models / "clip")), CPU)
    tokens = scorer.reader([f"text {n}" for n in range(7)])
    whole = scorer.text_features(tokens)
    monkeypatch.setattr(scorer_module, "TEXTS_AT_ONCE", 3)
    assert np.abs(scorer.text_features(tokens) - whole).max() < 1e-6
