"""Every kind of model gives the features of the library it comes from, and is known by what decides them."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from transformers import AutoModel, AutoTokenizer, CLIPConfig, CLIPImageProcessor, CLIPModel

from engine.errors import UserError
from tests.engine import score_kit
from tests.engine.t5_kit import write_t5
from tests.native.test_tf_bilinear import by_definition
from tests.train.formats.test_formats import small
from train.evaluate.encoder import Encoder, Features, ModelOptions
from train.evaluate.models import open_encoder
from train.formats import hugging_face, open_clip_folder
from train.formats.model import Exported, save_as_run

TOLERANCE = 1e-5
PLAIN = ["a dog", "a dog in the snow.", "two cats, one sofa", "x" * 400]
# What some tokenizers clean up, and others do not.
ODD = ["R&amp;B  and\tblues", "schÃ¶n", "ﬁne"]


def files(*sizes: tuple[int, int]) -> list[bytes]:
    """Sizes where a centre that is rounded another way gives other pixels."""
    found = []
    for at, (width, height) in enumerate(sizes or [(48, 48), (91, 60), (61, 96), (33, 32), (200, 37)]):
        pixels = np.random.default_rng(at).integers(0, 256, (height, width, 3), dtype=np.uint8)
        stream = io.BytesIO()
        Image.fromarray(pixels).save(stream, "jpeg" if at % 2 else "png")
        found.append(stream.getvalue())
    return found


def encoder(model: Path | str, **options: Any) -> Encoder:
    return open_encoder(ModelOptions(str(model), device="cpu", **options))


def image_features(of: Encoder, images: list[bytes]) -> Features:
    pixels, status = of.decoded(images)
    assert not status.any()
    return of.images(pixels).result()


def assert_same(found: NDArray[np.float32], expected: NDArray[np.float32]) -> None:
    assert np.abs(expected).max() > 0.05
    np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE)


@pytest.fixture(scope="module")
def t5(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_t5(tmp_path_factory.mktemp("tokenizer") / "tiny-t5")


@pytest.mark.parametrize("kind", ["clip", "quick_gelu", "t5"])
def test_an_export_has_the_features_of_its_run(kind: str, t5: Path, tmp_path: Path) -> None:
    where = str(t5) if kind == "t5" else None
    model = small(where or "clip", quick_gelu=kind == "quick_gelu")
    checkpoint = save_as_run(model, tmp_path / "run")
    open_clip_folder.write(model, tmp_path / "open_clip", where)
    hugging_face.write(model, tmp_path / "hugging_face", where)
    run = encoder(tmp_path / "run", tokenizer=where)
    images, texts = image_features(run, files()), run.texts(PLAIN + ODD)
    with torch.inference_mode():
        pixels = torch.from_numpy(run.decoded(files())[0])
        assert_same(images, model.clip.encode_image(pixels).numpy())
    for folder in (tmp_path / "open_clip", tmp_path / "hugging_face", checkpoint):
        again = encoder(folder, tokenizer=where if folder == checkpoint else None)
        assert_same(image_features(again, files()), images)
        assert_same(again.texts(PLAIN + ODD), texts)
        assert again.id == run.id
    # What knows nothing of our card: plain texts, and an image where both crops are the same.
    for name in ("open_clip", "hugging_face"):
        (tmp_path / name / "model.json").unlink()
        stock = encoder(tmp_path / name)
        assert stock.id != run.id
        assert_same(image_features(stock, files((64, 64))), image_features(run, files((64, 64))))
        assert_same(stock.texts(PLAIN), texts[: len(PLAIN)])


def make(kind: str, folder: Path) -> Path:
    makers = {"open_clip": score_kit.make_open_clip, "clip": score_kit.make_hf_clip}
    return {**makers, "siglip": score_kit.make_siglip}[kind](folder)


@pytest.mark.parametrize("kind", ["open_clip", "clip", "siglip"])
def test_features_are_the_librarys_own_not_normalised(kind: str, tmp_path: Path) -> None:
    """Whatever is left out of the padding, and however texts are sorted."""
    folder = make(kind, tmp_path / kind)
    ours = encoder(folder)
    pixels = torch.from_numpy(ours.decoded(files())[0])
    with torch.inference_mode():
        if kind == "open_clip":
            model = open_clip.create_model(f"local-dir:{folder}").eval()
            image = model.encode_image(pixels)
            text = model.encode_text(open_clip.get_tokenizer(f"local-dir:{folder}")(PLAIN))
        else:
            theirs: Any = AutoModel.from_pretrained(folder).eval()
            words = AutoTokenizer.from_pretrained(folder)(
                PLAIN,
                padding="max_length",
                truncation=True,
                max_length=score_kit.CONTEXT,
                return_tensors="pt",
            )
            image = theirs.get_image_features(pixel_values=pixels)
            mask = {} if kind == "siglip" else {"attention_mask": words.attention_mask}
            text = theirs.get_text_features(input_ids=words.input_ids, **mask)
    assert_same(image_features(ours, files()), image.numpy())
    assert_same(ours.texts(PLAIN), text.numpy())
    assert_same(ours.texts(PLAIN[::-1] * 50)[:4], text.numpy()[::-1])


def veclip(folder: Path, **text: Any) -> CLIPModel:
    """A CLIPModel as Apple releases them: config and weights, a text tower that reads T5's ids."""
    tower = {"num_hidden_layers": 2, "hidden_size": 64, "num_attention_heads": 2, "intermediate_size": 256}
    reader = {**tower, "vocab_size": 64, "max_position_embeddings": 20, "eos_token_id": 1, "pad_token_id": 0}
    vision = {**tower, "image_size": 32, "patch_size": 8}
    torch.manual_seed(5)
    model = CLIPModel(CLIPConfig(text_config={**reader, **text}, vision_config=vision, projection_dim=48))
    model.save_pretrained(folder)
    return model.eval()


def test_a_model_as_veclip_releases_them(t5: Path, tmp_path: Path) -> None:
    model, images = veclip(tmp_path / "veclip"), files()
    with pytest.raises(UserError, match=r"no tokenizer's files; .*--tokenizer clip.*t5-base"):
        encoder(tmp_path / "veclip")
    ours = encoder(tmp_path / "veclip", tokenizer=str(t5))
    assert ours.description["transform"]["fit"] == "tensorflow"
    pixels, _ = ours.decoded(images)
    for own, file in zip(pixels, images, strict=True):
        with Image.open(io.BytesIO(file)) as opened:
            expected = by_definition(np.asarray(opened.convert("RGB")), 32)
        np.testing.assert_allclose(own, expected, rtol=0, atol=2e-3)
        assert np.abs(own - expected).mean() < 1e-4
    texts = PLAIN[:3]
    words = AutoTokenizer.from_pretrained(t5)(texts, padding=True, return_tensors="pt")
    with torch.inference_mode():
        image = model.get_image_features(pixel_values=torch.from_numpy(pixels))
        text = model.get_text_features(**words)
    assert_same(image_features(ours, images), image.numpy())
    assert_same(ours.texts(texts), text.numpy())
    # With the tokenizer's files beside it, nothing has to be said.
    shutil.copytree(t5, tmp_path / "veclip", dirs_exist_ok=True)
    beside = encoder(tmp_path / "veclip")
    assert beside.description["transform"] == ours.description["transform"]
    assert_same(beside.texts(texts), text.numpy())


def test_a_folder_without_a_processor_is_not_taken_for_veclips(t5: Path, tmp_path: Path) -> None:
    folder = score_kit.make_hf_clip(tmp_path / "clip")
    own = encoder(folder)
    told = encoder(folder, transform="tensorflow")
    assert (own.description["transform"]["fit"], told.description["transform"]["fit"]) == (
        "transformers",
        "tensorflow",
    )
    (folder / "preprocessor_config.json").unlink()
    with pytest.raises(UserError, match=r"no preprocessor_config\.json, which says how images are resized"):
        encoder(folder)
    veclip(tmp_path / "other", eos_token_id=5)
    with pytest.raises(UserError, match="its texts end with 1, the model looks for 5"):
        encoder(tmp_path / "other", tokenizer=str(t5))
    with pytest.raises(UserError, match="has 49,408 ids, the model knows 64"):
        encoder(tmp_path / "other", tokenizer="clip")


def test_the_id_is_of_all_that_decides_a_feature_and_of_nothing_else(t5: Path, tmp_path: Path) -> None:
    folder = score_kit.make_open_clip(tmp_path / "a")
    shutil.copytree(folder, tmp_path / "elsewhere")
    ids = [encoder(folder).id, encoder(folder, precision="bf16").id]
    assert encoder(tmp_path / "elsewhere").id == ids[0]
    ids += [encoder(folder, transform="tensorflow").id, encoder(folder, tokenizer=str(t5)).id]
    config = json.loads((folder / "open_clip_config.json").read_text())
    config["preprocess_cfg"]["mean"] = [0.5] * 3
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    ids.append(encoder(folder).id)
    model = small()
    save_as_run(model, tmp_path / "run")
    ids.append(encoder(tmp_path / "run").id)
    with torch.no_grad():
        model.clip.ln_final.bias[3] += 1e-3
    save_as_run(model, tmp_path / "other")
    ids.append(encoder(tmp_path / "other").id)
    save_as_run(Exported(model.clip, small(context=23).card), tmp_path / "shorter")
    assert len(set(ids)) == len(ids)


def test_what_is_no_model_is_named(t5: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"holds neither latest-rank0\.pt .* nor open_clip_config\.json"):
        encoder(tmp_path)
    with pytest.raises(UserError, match="no such folder"):
        encoder(tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"model ViT-B-33: .*did you mean ViT-B-32"):
        encoder("ViT-B-33")
    (tmp_path / "file.pt").write_bytes(b"x")
    with pytest.raises(UserError, match=r"file\.pt: no model\.json beside it"):
        encoder(tmp_path / "file.pt")
    with pytest.raises(UserError, match=r"--weights trained: only runs .* ViT-B-32 has one"):
        encoder("ViT-B-32", averaged=False)
    save_as_run(small(str(t5)), tmp_path / "run")
    with pytest.raises(UserError, match="tokenizer 'tiny-t5': no such folder"):
        encoder(tmp_path / "run")
    with pytest.raises(UserError, match=r"tokenizer clip: it is .* but the training data has"):
        encoder(tmp_path / "run", tokenizer="clip")


def test_an_image_processor_that_was_saved_again_is_the_same_model_to_look_at(tmp_path: Path) -> None:
    """Two folders of one model may differ in their files: then features are computed twice, never mixed."""
    folder = score_kit.make_hf_clip(tmp_path / "a")
    one = encoder(folder)
    CLIPImageProcessor.from_pretrained(folder).save_pretrained(folder)
    assert_same(image_features(encoder(folder), files()), image_features(one, files()))
