"""`engine.score`: what the libraries themselves compute, for every caption, accounted for."""

from __future__ import annotations

import json
import random
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from build_corpus import REPOSITORY, command, jpeg, make_tars, run_command, write_tar
from test_join import row, write_ledger

from engine import score as score_command
from engine.build.budget import Budget
from engine.build.rejects import read_rejects
from engine.build.samples import content_hash
from engine.captions.parts import read_part
from engine.captions.scores import SCORES_NAME, open_scores, text_hash
from engine.errors import UserError
from engine.scoring.job import Job
from engine.scoring.options import Compute, ModelChoice, RunOptions, ScoreOptions, caption_ledgers
from engine.scoring.run import Result, score
from engine.scoring.scorer import open_scorer
from engine.scoring.unit import score_unit
from engine.sources import SourceOptions, open_source

torch = pytest.importorskip("torch")
open_clip = pytest.importorskip("open_clip")
kit: Any = pytest.importorskip("score_kit")

CPU = Compute("cpu", "fp32")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(kit.make_models(tmp_path_factory.mktemp("models")))


@pytest.fixture(scope="module")
def tars(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tars(tmp_path_factory.mktemp("tars"), tars=3)


@pytest.fixture(autouse=True)
def _no_model_stays() -> Iterator[None]:
    yield
    open_scorer.cache_clear()


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
    for _ in range(5):
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
