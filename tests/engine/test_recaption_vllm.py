"""The real vLLM on a CPU: tiny LLaVA and LLaMA models with random weights, in process and behind its server.

Needs the environment of scripts/setup_vllm_cpu.sh; VECLIP_VLLM_PYTHON names another Python.
"""

from __future__ import annotations

import io
import json
import os
import signal
import socket
import subprocess
import tarfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest
from build_corpus import REPOSITORY, jpeg
from recaption_kit import rows_of

from engine.captions.ledger import LedgerRow
from engine.prompts import PromptInputs, build_prompt, render

PYTHON = Path(os.environ.get("VECLIP_VLLM_PYTHON", REPOSITORY / ".venv-vllm/bin/python"))
MOST_TOKENS = 1500
POISON = "vllm_poison:Poison"
ENGINE = {
    "dtype": "float32", "enforce_eager": True, "max_model_len": MOST_TOKENS, "logits_processors": [POISON],
}  # fmt: skip
START_S = 600  # a quarter of a minute on a quiet machine
SAMPLES = 10
GUILTY, LONG = "k9", "k3"
IMAGE_TOKENS = 16  # of 56 pixels in patches of 14

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
    subprocess.run(
        [str(PYTHON), "tests/engine/tiny_models.py", str(folder)], cwd=REPOSITORY, check=True, timeout=START_S
    )
    return folder


@pytest.fixture(scope="module")
def tars(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tars")
    with tarfile.open(folder / "0.tar", "w") as archive:
        for at in range(SAMPLES):
            text = f"picture number {at} of a gradient"
            # Fits what a prompt may hold of CLIP's tokens, and not the model, whose tokens are bytes.
            alttext = " ".join([f"{text}."] * 35) if f"k{at}" == LONG else text
            for name, data in (("jpg", jpeg(at)), ("txt", alttext.encode()), ("vec", b"a grey gradient")):
                member = tarfile.TarInfo(f"k{at}.{name}")
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
    return folder


def environment() -> dict[str, str]:
    return {
        **os.environ,
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": f"{REPOSITORY}:{Path(__file__).parent}",
        "VECLIP_POISON": "web text: .*number 9 of",
    }


@contextmanager
def recaption(tars: Path, ledger: Path, mode: str, *words: object) -> Iterator[subprocess.Popen[str]]:
    """Runs the command where vLLM is installed; what random weights write is allowed to fail every check."""
    command = [
        PYTHON, "-m", "engine.recaption", tars / "*.tar", "--mode", mode, "--out", ledger, "--concurrency",
        "4", "--max-tokens", "12", "--max-failures", "100%", "--silence", "200", *words,
    ]  # fmt: skip
    process = subprocess.Popen(
        list(map(str, command)), cwd=REPOSITORY, env=environment(), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def finish(process: subprocess.Popen[str]) -> str:
    said, errors = process.communicate(timeout=START_S)
    assert process.returncode == 0, errors[-3000:]
    return said


def check(rows: list[LedgerRow], template: str) -> None:
    assert sorted(row.key for row in rows) == [f"k{at}" for at in range(SAMPLES)]
    assert {row.template for row in rows} == {template}
    for row in rows:
        assert row.attempts
        assert row.status == "engine_died" or row.completion_tokens > 0
        assert row.status not in ("prompt_too_long", "request_refused", "request_failed", "request_timeout")
        assert row.alttext_cut == (row.key == LONG and row.source != "vec")
        assert row.status == "engine_died" or row.finish_reason in ("length", "stop")
    assert len({row.revision for row in rows}) == 1


def died(rows: list[LedgerRow]) -> set[str]:
    return {row.key for row in rows if row.status == "engine_died"}


def test_in_process_vec_then_vecap_through_two_kinds_of_death(
    models: Path, tars: Path, tmp_path: Path
) -> None:
    """The core is killed once in the middle, and by one request each time that it has it."""
    with recaption(
        tars, tmp_path, "all", "--model", models / "llava", "--template", "llava_1.5_hf", "--llm-model",
        models / "llama", "--llm-template", "vicuna_v1.1", "--engine-args", json.dumps(ENGINE),
        "--caption", "alttext=txt", "--caption", "vec=vec",
    ) as process:  # fmt: skip
        kill_core(process, tmp_path / "vecap/.state/packed/00000.log", process.pid)
        said = finish(process)
    assert said.count("rows of the ledger") == 2
    assert "requests sent again after an engine's failure" in said
    described = rows_of(tmp_path, "vec")
    check(described, "llava_1.5_hf")
    prompt = render("llava_1.5_hf", build_prompt("vec", "hardened", PromptInputs())).replace("<image>", "")
    assert all(row.prompt_tokens == row.attempts * (len(prompt) + IMAGE_TOKENS) for row in described)
    fused = rows_of(tmp_path, "vecap")
    check(fused, "vicuna_v1.1")
    assert all(len(row.revision) == 32 for row in fused)
    assert died(fused) == {GUILTY}
    guilty = next(row for row in fused if row.key == GUILTY)
    assert guilty.attempts > 1  # VeCap from VeC alone was asked for then
    assert died(described) == set()


def kill_core(process: subprocess.Popen[str], log: Path, owner: int) -> None:
    """Kills the core of a vLLM below `owner` in the middle of a batch: when the first answer is there."""
    while not (log.exists() and log.stat().st_size):
        assert process.poll() is None, finish(process)
        time.sleep(0.01)
    cores = [pid for pid in descendants(owner) if b"EngineCore" in command_of(pid)]
    os.kill(cores[0], signal.SIGKILL)


def descendants(pid: int) -> list[int]:
    children = [
        int(child)
        for task in Path(f"/proc/{pid}/task").glob("*/children")
        for child in task.read_text().split()
    ]
    return children + [other for child in children for other in descendants(child)]


def command_of(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


class Server:
    """vLLM's server, started again whenever it ends, as an orchestrator does."""

    def __init__(self, model: Path, log: IO[bytes]) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self._command = [
            str(PYTHON), "-m", "vllm.entrypoints.openai.api_server", "--model", str(model),
            "--host", "127.0.0.1", "--port", str(self.port), "--dtype", "float32", "--enforce-eager",
            "--max-model-len", str(MOST_TOKENS), "--no-enable-chunked-prefill",
        ]  # fmt: skip
        self._log, self._ending = log, threading.Event()
        self.starts = self.pid = 0
        self._thread = threading.Thread(target=self._run)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def start(self) -> None:
        self._thread.start()
        wait_for(f"{self.url}/models")

    def stop(self) -> None:
        self._ending.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ending.is_set():
            self.starts += 1
            process = subprocess.Popen(
                self._command, env=environment(), cwd=REPOSITORY, stdout=self._log, stderr=self._log
            )
            self.pid = process.pid
            while process.poll() is None and not self._ending.wait(0.1):
                pass
            process.terminate()
            process.wait(60)


@contextmanager
def served(model: Path, folder: Path) -> Iterator[Server]:
    with (folder / f"{model.name}.log").open("wb") as log:
        server = Server(model, log)
        try:
            server.start()
            yield server
        finally:
            server.stop()


def wait_for(url: str) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.5)
    raise AssertionError(f"vLLM's server did not start in {START_S} s")


def test_vec_and_rewrites_through_its_server_which_dies(models: Path, tars: Path, tmp_path: Path) -> None:
    with served(models / "llava", tmp_path) as server:
        with recaption(tars, tmp_path, "vec", "--base-url", server.url) as process:
            finish(process)
        assert server.starts == 1
    with served(models / "llama", tmp_path) as server:
        packs = ["--packs", "plain", "--template", "plain", "--base-url", server.url]
        with recaption(tars, tmp_path, "laclip", *packs) as process:
            kill_core(process, tmp_path / "rewrite/plain/.state/packed/00000.log", server.pid)
            said = finish(process)
        assert server.starts == 2
    assert "requests sent again after an engine's failure" in said
    check(rows_of(tmp_path, "vec"), "own")
    rewrites = rows_of(tmp_path, "rewrite/plain")
    check(rewrites, "plain")
    assert died(rewrites) == set()
