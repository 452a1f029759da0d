"""Zero-shot classification against open_clip's classifier and transform, by hand, and at chance."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from torch import Tensor

from engine.errors import UserError
from engine.tokenizers import load_tokenizer
from loaders.classes import ClassLoader, open_classes
from loaders.images import CLIP_MEAN, CLIP_STD, ImageOptions
from train.heldout.accuracy import accuracy
from train.heldout.probes import open_probes
from train.heldout.ranking import place
from train.heldout.zeroshot import (
    ZeroShotConfig,
    data_tokenizer,
    evaluate_zeroshot,
    format_table,
    open_task,
)
from train.keeping.checkpoints import ModelCard
from train.model.architecture import (
    ModelConfig,
    TextConfig,
    TokenizerFacts,
    VisionConfig,
    resolve_architecture,
)
from train.model.contrastive import ContrastiveModel, Normalisation, build_clip
from train.stopping import rounds

CLASSES = {"red_box": (200, 40, 40), "green_box": (40, 200, 40), "blue_box": (40, 40, 200)}
SIDE = 32
IMAGE = ImageOptions(SIDE)
SIZES = ModelConfig(
    embed_dim=16, vision=VisionConfig(SIDE, 1, 32, 8, head_width=16), text=TextConfig(1, 32, 2)
)


def facts() -> TokenizerFacts:
    t = load_tokenizer("clip", 24)
    return TokenizerFacts(t.name, t.fingerprint, t.context_length, t.vocab_size, t.eos_id, t.pad_id)


@pytest.fixture(scope="module")
def model() -> ContrastiveModel:
    torch.manual_seed(0)
    clip = build_clip(resolve_architecture(SIZES, facts()), seed=3)
    return ContrastiveModel(clip, Normalisation(CLIP_MEAN, CLIP_STD))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("classes")
    draw = np.random.default_rng(0)
    for name, colour in CLASSES.items():
        (root / name / "deeper").mkdir(parents=True)
        for at in range(7):
            noise = draw.normal(0, 60, (40 + at, 36, 3)) + colour
            image = Image.fromarray(noise.clip(0, 255).astype(np.uint8))
            image.save(root / name / ("deeper" if at % 2 else ".") / f"{at}.{'png' if at % 3 else 'jpg'}")
    return root


def test_open_clip_computes_the_same(model: ContrastiveModel, folder: Path) -> None:
    """Its transform, tokenizer and classifier, one image at a time, with all 80 templates."""
    tokenizer = load_tokenizer("clip", 24)
    task = open_task(ZeroShotConfig(str(folder), templates="ens80", batch_size=4), tokenizer)
    table = evaluate_zeroshot(model, task, IMAGE)
    transform = open_clip.image_transform(SIDE, is_train=False)
    names = [name.replace("_", " ") for name in sorted(CLASSES)]
    assert task.classes == tuple(names)
    model.eval()
    classifier = open_clip.build_zero_shot_classifier(
        model.clip, open_clip.SimpleTokenizer(context_length=24), names, open_clip.OPENAI_IMAGENET_TEMPLATES
    )
    hits: dict[str, list[bool]] = {name: [] for name in sorted(CLASSES)}
    for number, name in enumerate(sorted(CLASSES)):
        for file in sorted((folder / name).rglob("*.*")):
            image = transform(Image.open(file)).unsqueeze(0)
            with torch.no_grad():
                scores = model.clip.encode_image(image, normalize=True) @ classifier
            hits[name].append(int(scores.argmax()) == number)
    flat = [hit for found in hits.values() for hit in found]
    assert table["images"] == len(flat) == 21
    assert table["ens80/top_1"] == pytest.approx(sum(flat) / 21)
    by_class = [sum(found) / len(found) for found in hits.values()]
    assert table["ens80/mean_per_class_recall"] == pytest.approx(sum(by_class) / 3)
    assert "ens80/top_5" not in table  # three classes: it could not fail
    assert f"{100 * sum(flat) / 21:.2f}" in format_table("boxes", table)


def test_accuracy_by_hand() -> None:
    places = torch.tensor([0, 4, 0, 9, 20])
    labels = torch.tensor([3, 3, 3, 1, 0])
    table = accuracy(places, labels, classes=30)
    assert table["top_1"] == pytest.approx(2 / 5)
    assert table["top_5"] == pytest.approx(3 / 5)
    assert table["top_10"] == pytest.approx(4 / 5)
    assert table["mean_per_class_recall"] == pytest.approx((2 / 3 + 0 + 0) / 3)


def test_ties_go_to_the_lower_class_and_broken_scores_find_nothing() -> None:
    same = torch.ones(4, 4)
    own = torch.arange(4).unsqueeze(1)
    assert place(same, own).tolist() == [0, 1, 2, 3]
    assert place(same * torch.nan, own).tolist() == [4, 4, 4, 4]
    assert place(torch.tensor([[1.0, torch.nan, 3.0]]), torch.tensor([[2]])).tolist() == [1]


def test_any_split_of_the_images_gives_each_once(folder: Path) -> None:
    found = open_classes(folder)
    whole = list(ClassLoader(found, IMAGE, 5))
    pixels, labels = torch.cat([b["image"] for b in whole]), torch.cat([b["label"] for b in whole])
    for ranks in (2, 3, 4):
        rows: dict[int, Tensor] = {}
        for rank in range(ranks):
            share = [row for b in ClassLoader(found, IMAGE, 2, rank, ranks) for row in b["image"]]
            rows |= {rank + ranks * at: row for at, row in enumerate(share)}
            assert len(list(ClassLoader(found, IMAGE, 2, rank, ranks))) <= rounds(21, ranks, 2)
        assert torch.equal(torch.stack([rows[i] for i in range(21)]), pixels)
    assert labels.tolist() == [0] * 7 + [1] * 7 + [2] * 7


def test_a_table_names_the_same_images(folder: Path, tmp_path: Path) -> None:
    found = open_classes(folder)
    rows = list(zip(found.files, found.label_of_file.tolist(), strict=True))
    random.Random(0).shuffle(rows)
    table = tmp_path / "images.tsv"
    table.write_text("label\timage\n" + "".join(f"{label}\t{file}\n" for file, label in rows))
    again = open_classes(table)
    assert dict(zip(again.files, again.label_of_file.tolist(), strict=True)) == dict(rows)
    assert again.labels == ("0", "1", "2")


def test_numbers_are_sorted_as_numbers(tmp_path: Path) -> None:
    """ImageNetV2's folders are 0 ... 999; as words 10 would come before 2."""
    for label in (10, 2, 0, 1):
        (tmp_path / str(label)).mkdir()
        Image.new("RGB", (8, 8)).save(tmp_path / str(label) / "a.png")
    assert open_classes(tmp_path).labels == ("0", "1", "2", "10")


def test_names_come_from_a_file(folder: Path, tmp_path: Path) -> None:
    tokenizer = load_tokenizer("clip", 24)
    (tmp_path / "in_order.txt").write_text("blue\ngreen\nred\n")
    (tmp_path / "by_label.txt").write_text("green_box\ta\nunseen\tb\nred_box\tc\nblue_box\td\n")
    plain = open_task(ZeroShotConfig(str(folder), str(tmp_path / "in_order.txt")), tokenizer)
    assert (plain.classes, plain.images.labels[0]) == (("blue", "green", "red"), "blue_box")
    given = open_task(ZeroShotConfig(str(folder), str(tmp_path / "by_label.txt")), tokenizer)
    assert given.classes == ("a", "b", "c", "d")
    assert given.images.labels == ("green_box", "unseen", "red_box", "blue_box")
    (tmp_path / "short.txt").write_text("blue\ngreen\n")
    with pytest.raises(UserError, match=r"short.txt: 2 names, but .* has 3 classes"):
        open_task(ZeroShotConfig(str(folder), str(tmp_path / "short.txt")), tokenizer)
    (tmp_path / "wrong.txt").write_text("green_box\ta\nred_bix\tc\nblue_box\td\n")
    with pytest.raises(UserError, match=r"'red_box' is not among the classes \(did you mean red_bix\?\)"):
        open_task(ZeroShotConfig(str(folder), str(tmp_path / "wrong.txt")), tokenizer)


@pytest.mark.parametrize(
    ("templates", "message"),
    [
        ("ens8O", r"'ens8O' given; .*did you mean ens80\?"),
        ((), "nothing given"),
        (("single", "a {}"), "expected names among"),
    ],
)
def test_wrong_templates_are_named(templates: str | tuple[str, ...], message: str) -> None:
    with pytest.raises(UserError, match=message):
        ZeroShotConfig("x", templates=templates)


def test_templates_fill_in_the_name_alone(folder: Path) -> None:
    variants = ZeroShotConfig("x", templates=("a {} of {kind}", "{}")).variants()
    assert [template("{x}") for template in variants["own"]] == ["a {x} of {kind}", "{x}"]
    assert [t("cat") for t in ZeroShotConfig("x").variants()["single"]] == ["A photo of a cat."]
    both = ZeroShotConfig("x", templates=("single", "ens80", "ens7")).variants()
    assert {name: len({t("x") for t in found}) for name, found in both.items()} == {
        "single": 1,
        "ens80": 80,
        "ens7": 7,
    }


def test_broken_images_and_other_tokenizers_are_named(model: ContrastiveModel, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    with pytest.raises(UserError, match=r"broken\.jpg: does not decode"):
        list(ClassLoader(open_classes(tmp_path), IMAGE, 2))
    card = ModelCard(resolve_architecture(SIZES, facts()), facts(), Normalisation(CLIP_MEAN, CLIP_STD))
    with pytest.raises(UserError, match=r"^zeroshot\.a: .*broken\.jpg: does not decode"):  # before training
        open_probes(model, card, "fp32", None, {"a": ZeroShotConfig(str(tmp_path))})
    with pytest.raises(UserError, match="not found; expected a folder of class folders"):
        open_classes(tmp_path / "nowhere")
    other = TokenizerFacts("clip", "f" * 64, 24, 49408, 49407, 0)
    with pytest.raises(UserError, match="the training data has ffffffffffff"):
        data_tokenizer(other)
