"""`engine.score`: what the libraries themselves compute, for every caption, accounted for."""

from __future__ import annotations

import io
import json
import logging
import random
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from build_corpus import REPOSITORY, command, jpeg, make_tars, run_command, write_tar
from numpy.typing import NDArray
from PIL import Image
from test_join import row, write_ledger

from engine import score as score_command
from engine.build.budget import Budget
from engine.build.rejects import read_rejects
from engine.build.samples import content_hash
from engine.captions.parts import read_part
from engine.captions.scores import SCORES_NAME, open_scores, text_hash
from engine.errors import UserError
from engine.native import Limits, ThreadPool
from engine.scoring import scorer as scorer_module
from engine.scoring.job import Job
from engine.scoring.options import Compute, ModelChoice, RunOptions, ScoreOptions, caption_ledgers
from engine.scoring.run import Result, score
from engine.scoring.scorer import open_scorer
from engine.scoring.unit import score_unit
from engine.sources import SourceOptions, open_source

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
    """A folder of folders."""
    folder = tmp_path_factory.mktemp("models")
    kit.make_open_clip(folder / "open_clip")
    kit.make_open_clip(folder / "squash", resize_mode="squash", interpolation="bilinear", mean=(0.5,) * 3)
    kit.make_hf_clip(folder / "clip")
    kit.make_hf_clip(folder / "clip_larger", shorter=41)
    kit.make_siglip(folder / "siglip")
    return folder


@pytest.fixture(scope="module")
def tars(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tars(tmp_path_factory.mktemp("tars"), tars=3)


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


def run(tars: Path, model: Path | str, ledger: Path, *captions: Path, **changes: Any) -> Result:
    """Scores in this process."""
    source = SourceOptions((str(tars / "*.tar"),))
    choice = ModelChoice(str(model), changes.pop("pretrained", None))
    ledgers = caption_ledgers([str(path) for path in captions], ledger)
    options = ScoreOptions(source, ledgers, tuple(changes.pop("sources", ())), choice)
    given = {"workers": 1, "budget": Budget(1.0), "device": "cpu", **changes}
    return score(open_source(source), options, RunOptions(ledger, **given))


def rows_of(ledger: Path) -> list[dict[str, Any]]:
    return [
        found
        for run in open_scores([ledger])
        for part in run.parts
        for batch in read_part(part)
        for found in batch.to_pylist()
    ]


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_every_caption_is_scored_and_every_sample_accounted_for(
    models: Path, tars: Path, tmp_path: Path
) -> None:
    digest = content_hash(jpeg(0))
    captions = write_ledger(
        tmp_path / "captions",
        [row("k0-0", "fused", digest), row("k0-1", "of another image", "f" * 32), row("nowhere", "x")],
    )
    result = run(tars, models / "open_clip", tmp_path / "out", captions)
    counts, scores = result.counts.samples, result.counts.sources
    assert (counts.seen, counts.out, counts.rejected) == (90, 84, 6)
    assert counts.rejected_by_code == {"caption_empty": 3, "truncated": 3}
    # k0-0 is there twice, with different images; the caption belongs to the first.
    assert counts.dropped_captions_by_code == {"caption_other_image": 2}
    assert (scores["alttext"].captions, scores["alttext"].scored) == (84, 84)
    assert (scores["vecap"].samples, scores["vecap"].captions) == (1, 1)
    rejects = list(read_rejects(result.folder / "rejects.parquet"))
    assert sorted(reject.code for reject in rejects) == ["caption_empty"] * 3 + ["truncated"] * 3
    rows = rows_of(tmp_path / "out")
    assert len(rows) == result.counts.captions
    mine = [found for found in rows if found["source"] == "vecap"]
    assert mine[0]["key"] == "k0-0"
    assert (mine[0]["content_hash"], mine[0]["text_hash"]) == (digest, text_hash("fused"))
    assert {found["scorer"] for found in rows} == {result.scorer["id"]}
    assert {found["status"] for found in rows} == {"ok"}
    assert all(-1 <= found["score"] <= 1 for found in rows)
    metadata = json.loads((result.folder / SCORES_NAME).read_text())
    assert metadata["counts"]["sources"]["alttext"]["bins"]
    assert metadata["coverage"]["vecap"]["extra"] >= 1


def test_a_ledgers_own_captions_are_scored_and_sources_can_be_chosen(
    models: Path, tars: Path, tmp_path: Path
) -> None:
    ledger = write_ledger(tmp_path / "ledger", [row("k0-1", "fused")])
    first = run(tars, models / "open_clip", ledger)
    assert set(first.counts.sources) == {"alttext", "vecap"}
    second = run(tars, models / "open_clip", ledger, sources=["vecap"])
    assert set(second.counts.sources) == {"vecap"}
    assert first.folder != second.folder
    assert second.counts.samples.rejected_by_code["no_caption"] == 83
    with pytest.raises(UserError, match=r"--sources vecpa: .*did you mean vecap"):
        run(tars, models / "open_clip", ledger, sources=["vecpa"])


def test_the_same_command_again_does_nothing_and_other_weights_are_another_run(
    models: Path, tars: Path, tmp_path: Path
) -> None:
    model = Path(shutil.copytree(models / "open_clip", tmp_path / "model"))
    first = run(tars, model, tmp_path / "out")
    before = files_of(tmp_path / "out")
    assert run(tars, model, tmp_path / "out").finished_before
    assert files_of(tmp_path / "out") == before
    weights = model / "open_clip_model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-4] ^= 1
    weights.write_bytes(data)
    open_scorer.cache_clear()
    second = run(tars, model, tmp_path / "out")
    assert second.scorer["id"] != first.scorer["id"]
    with pytest.raises(UserError, match="scores of several models"):
        open_scores([tmp_path / "out"])
    (chosen,) = open_scores([tmp_path / "out"], first.scorer["id"])
    assert chosen.folder == first.folder
    with pytest.raises(UserError, match=r"--scorer nobody: .*scores of model"):
        open_scores([tmp_path / "out"], "nobody")


def test_a_run_goes_on_where_it_stopped_and_ends_in_the_same_bytes(
    models: Path, tars: Path, tmp_path: Path
) -> None:
    calm = run(tars, models / "open_clip", tmp_path / "calm")

    class Stop(Exception):
        pass

    source = SourceOptions((str(tars / "*.tar"),))
    options = ScoreOptions(source, (), (), ModelChoice(str(models / "open_clip")))
    where = RunOptions(tmp_path / "out", 1, budget=Budget(1.0), device="cpu")
    for reports in (1, 3, 2):

        def show(_: Any, left: list[int] = [reports]) -> None:  # noqa: B006
            left[0] -= 1
            if left[0] == 0:
                raise Stop

        with pytest.raises(Stop):
            score(open_source(source), options, where, show)
        assert not list((tmp_path / "out").rglob(SCORES_NAME))
        assert open_scores([tmp_path / "out"]) == []
    last = score(open_source(source), options, where)
    assert last.units_before > 0
    assert files_of(last.folder) == files_of(calm.folder)


def test_two_workers_give_the_same_bytes(models: Path, tars: Path, tmp_path: Path) -> None:
    one = run(tars, models / "open_clip", tmp_path / "one")
    two = run(tars, models / "open_clip", tmp_path / "two", workers=2)
    assert files_of(one.folder) == files_of(two.folder)


def test_no_number_is_a_status_and_counts_as_a_failure(models: Path, tars: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    model = Path(shutil.copytree(models / "open_clip", tmp_path / "model"))
    weights = model / "open_clip_model.safetensors"
    state = load_file(weights)
    (number,) = open_clip.get_tokenizer("ViT-B-32").encode("7")  # the texts with a word 7 alone
    state["token_embedding.weight"][number] = float("nan")
    save_file(state, weights)
    result = run(tars, model, tmp_path / "out")
    bad = [found for found in rows_of(tmp_path / "out") if found["status"] != "ok"]
    assert {(found["status"], found["score"]) for found in bad} == {("not_finite", None)}
    alttext = result.counts.sources["alttext"]
    assert alttext.captions == alttext.scored + alttext.not_finite
    assert alttext.not_finite == len(bad) == result.counts.samples.failures - 6
    with pytest.raises(UserError, match=r"too many samples failed: (?s:.*)not_finite +\d"):
        run(tars, model, tmp_path / "other", budget=Budget(6))


def test_a_worker_with_another_model_is_found_out(models: Path, tars: Path, tmp_path: Path) -> None:
    source = open_source(SourceOptions((str(tars / "*.tar"),)))
    choice = ModelChoice(str(models / "open_clip"))
    (tmp_path / ".state").mkdir()
    job = Job(tmp_path, source, ("alttext",), choice, CPU, "another", 1 << 20, 1)
    from engine.build.job import Task

    with pytest.raises(UserError, match="the run began with another"):
        list(score_unit(job, Task(0, source.units()[0])))


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


def test_the_command(models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "tars").mkdir()
    write_tar(tmp_path / "tars" / "0.tar", [(f"k{n}", jpeg(n), "word " * (5 + 30 * n)) for n in range(4)])
    words = [str(tmp_path / "tars" / "0.tar"), "--out", str(tmp_path / "out"), "--device", "cpu"]
    assert score_command.main([*words, "--model", str(models / "open_clip"), "--workers", "1"]) == 0
    said = capsys.readouterr().out
    assert re.search(r"alttext +4  of 4 captions; -?\d\.\d\d .* median", said)
    assert re.search(r"cut +3  longer than the model reads", said)
    assert score_command.main([*words, "--model", str(models / "open_clip")]) == 0
    assert "nothing to do" in capsys.readouterr().out
    assert score_command.main([*words, "--model", str(tmp_path / "nowhere")]) == 1
    assert "no such folder" in capsys.readouterr().err
    if not torch.cuda.is_available():
        assert score_command.main([*words, "--model", "x", "--device", "cuda"]) == 1
        assert "torch finds no GPU" in capsys.readouterr().err


@pytest.mark.slow
def test_killed_at_random_moments(models: Path, tars: Path, tmp_path: Path) -> None:
    calm = run(tars, models / "open_clip", tmp_path / "calm")
    words = [str(tars / "*.tar"), "--model", str(models / "open_clip"), "--out", str(tmp_path / "out")]
    words += ["--max-failures", "100%", "--device", "cpu", "--workers", "2"]
    draw, kills = random.Random(3), 0
    for _ in range(8):
        process = subprocess.Popen(command("score", *words), cwd=REPOSITORY, stdout=subprocess.DEVNULL)
        while process.poll() is None and not list((tmp_path / "out").rglob("plan.json")):
            time.sleep(0.01)
        try:
            process.wait(draw.uniform(0, 6))
        except subprocess.TimeoutExpired:
            process.kill()
            kills += 1
        process.wait()
    assert kills
    done = run_command("score", *words)
    assert done.returncode == 0, done.stderr
    assert files_of(tmp_path / "out" / "scores") == files_of(calm.folder.parent)


@pytest.mark.slow
def test_under_ray(models: Path, tars: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray")
    one = run(tars, models / "clip", tmp_path / "one")
    words = [str(tars / "*.tar"), "--model", str(models / "clip"), "--out", str(tmp_path / "two")]
    done = run_command(
        "score", *words, "--executor", "ray", "--workers", "2", "--max-failures", "100%", "--device", "cpu"
    )
    assert done.returncode == 0, done.stderr
    assert files_of(tmp_path / "two" / "scores") == files_of(one.folder.parent)
