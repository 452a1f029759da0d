"""The real vLLM on a CPU: tiny LLaVA and LLaMA models with random weights, in process and behind its server.

Needs the environment of scripts/setup_vllm_cpu.sh; VECLIP_VLLM_PYTHON names another Python.
"""

from __future__ import annotations

import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from build_corpus import REPOSITORY, make_tars
from recaption_kit import rows_of

from engine.captions.ledger import LedgerRow

PYTHON = Path(os.environ.get("VECLIP_VLLM_PYTHON", REPOSITORY / ".venv-vllm/bin/python"))
ENGINE_ARGS = '{"dtype": "float32", "enforce_eager": true, "max_model_len": 1500}'
START_S = 600  # a quarter of a minute on a quiet machine

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not PYTHON.exists() and not os.environ.get("VECLIP_REQUIRE_VLLM"),
        reason=f"{PYTHON} is missing: scripts/setup_vllm_cpu.sh makes it",
    ),
]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    made = vllm_python("tests/engine/tiny_models.py", folder)
    assert made.returncode == 0, made.stderr
    return folder


@pytest.fixture(scope="module")
def tars(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tars(tmp_path_factory.mktemp("tars"), tars=1, samples=12)


def environment() -> dict[str, str]:
    return {
        **os.environ,
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(REPOSITORY),
    }


def vllm_python(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(PYTHON), *map(str, words)], cwd=REPOSITORY, env=environment(), capture_output=True, text=True,
        timeout=2 * START_S, check=False,
    )  # fmt: skip


def recaption(tars: Path, ledger: Path, mode: str, *words: object) -> str:
    """Runs the command where vLLM is installed; what random weights write is allowed to fail every check."""
    done = vllm_python(
        "-m", "engine.recaption", tars / "*.tar", "--mode", mode, "--out", ledger, "--concurrency", "4",
        "--max-tokens", "12", "--max-failures", "100%", *words,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def check(rows: list[LedgerRow], template: str) -> None:
    assert {row.template for row in rows} == {template}
    answered = [row for row in rows if row.attempts]
    assert answered
    assert all(row.completion_tokens > 0 and row.prompt_tokens > 50 for row in answered)
    assert all(row.finish_reason in ("length", "stop") for row in answered)
    assert len({row.revision for row in rows}) == 1


def test_in_process_vec_then_vecap(models: Path, tars: Path, tmp_path: Path) -> None:
    said = recaption(
        tars, tmp_path, "all", "--model", models / "llava", "--template", "llava_1.5_hf", "--llm-model",
        models / "llama", "--llm-template", "vicuna_v1.1", "--engine-args", ENGINE_ARGS,
    )  # fmt: skip
    assert said.count("rows of the ledger") == 2
    check(rows_of(tmp_path, "vec"), "llava_1.5_hf")
    vec = {row.key for row in rows_of(tmp_path, "vec") if row.text}
    fused = rows_of(tmp_path, "vecap")
    assert {row.key for row in fused if row.attempts} == vec
    assert all(len(row.revision) == 32 for row in fused)
    if vec:
        check(fused, "vicuna_v1.1")


@contextmanager
def server(model: Path) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [
            str(PYTHON), "-m", "vllm.entrypoints.openai.api_server", "--model", str(model),
            "--host", "127.0.0.1", "--port", str(port), "--dtype", "float32", "--enforce-eager",
            "--max-model-len", "1500",
        ],
        env=environment(), cwd=REPOSITORY, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        wait_for(f"http://127.0.0.1:{port}/v1/models", process)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        process.wait(60)


def wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.5)
    raise AssertionError(f"vLLM's server ended or did not start in {START_S} s")


def test_vec_and_rewrites_through_its_server(models: Path, tars: Path, tmp_path: Path) -> None:
    with server(models / "llava") as url:
        recaption(tars, tmp_path, "vec", "--base-url", url)
        recaption(tars, tmp_path, "laclip", "--packs", "plain", "--base-url", url, "--template", "plain")
    check(rows_of(tmp_path, "vec"), "own")
    check(rows_of(tmp_path, "rewrite/plain"), "plain")
