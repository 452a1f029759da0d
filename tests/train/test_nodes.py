"""Several nodes on one machine: groups of processes that know of each other by the master's address alone."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from composer.utils import dist

from engine.errors import UserError
from tests.train.run_kit import COMPOSER, ROOT, command, losses, run, wait_for_steps
from train.config import load_config
from train.keeping.beginning import choose_beginning

Process = subprocess.Popen[str]


def free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return int(server.getsockname()[1])


def start_nodes(place: Path, name: str, *more: str, ranks: int = 1) -> list[Process]:
    """A launcher for each of two nodes; each caches the data in a folder of its own."""
    port, processes = free_port(), []
    for node in range(2):
        launcher = (COMPOSER[0], "-n", str(ranks), "--world_size", str(2 * ranks), "--node_rank", str(node))
        where = ("--master_addr", "127.0.0.1", "--master_port", str(port))
        data = (f"data.remote={place / 'train'}", f"data.local={place}/cache-{name}-{node}")
        words = command(place, name, *more, *data, launcher=(*launcher, *where))
        processes.append(
            subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        )
    return processes


def end(processes: list[Process]) -> list[str]:
    """What each said."""
    try:
        return ["".join(process.communicate(timeout=200)) for process in processes]
    finally:
        for process in processes:
            process.kill()


@pytest.mark.slow
def test_nodes_train_as_one_stop_together_and_go_on(place: Path, undisturbed: Path) -> None:
    """From one save_folder that both see; the caches are each node's own, and shared by its two ranks. Then
    each has one rank."""
    name = "nodes"
    folder = place / "runs" / name
    settings = "autoresume=true", "save_interval=100ba"
    nodes = start_nodes(place, name, *settings, ranks=2)
    wait_for_steps(folder, 3, *nodes)
    # One rank of the second node is told to stop: all of them do, after the same step.
    psutil.Process(nodes[1].pid).children()[0].send_signal(signal.SIGTERM)
    said = end(nodes)
    assert [node.returncode for node in nodes] == [143, 143], said
    assert (folder / "latest-rank0.pt").exists()
    nodes = start_nodes(place, name, *settings)
    said = end(nodes)
    assert [node.returncode for node in nodes] == [0, 0], said
    assert "retrieval on 60 images" in said[0]
    assert losses(folder) == pytest.approx(losses(undisturbed), rel=1e-3)


@pytest.mark.slow
def test_a_lost_node_ends_the_run(place: Path, undisturbed: Path) -> None:
    folder = place / "runs" / "lost"
    nodes = start_nodes(place, folder.name, "autoresume=true")
    wait_for_steps(folder, 6, *nodes)
    for process in [*psutil.Process(nodes[1].pid).children(), nodes[1]]:
        process.kill()
    end(nodes)
    assert nodes[0].returncode != 0
    run(command(place, folder.name, "autoresume=true"))
    assert losses(folder)[15] == pytest.approx(losses(undisturbed)[15], rel=1e-3)


def test_a_checkpoint_that_another_node_does_not_see(
    undisturbed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes two file systems, of which there is one here: the second rank's answer is made up."""
    config = load_config("yamls/tiny_cpu.yaml", [f"save_folder={undisturbed}", "autoresume=true"])
    found = choose_beginning(config, undisturbed)
    assert found.load_path == str((undisturbed / "latest-rank0.pt").resolve())
    # The hash that the second node's first rank finds; failures are of the first rank alone.
    monkeypatch.setattr(dist, "all_gather_object", lambda own: [own] if own is None else [own, "another"])
    with pytest.raises(UserError, match="not every node sees it; save_folder must lie on a file system"):
        choose_beginning(config, undisturbed)


# What Slurm does with docs/slurm/train.sbatch, as far as it matters here: a task a rank, all signalled.
SRUN = """#!/usr/bin/env python3
import os, signal, subprocess, sys
assert sys.argv[1:3] == ["--cpu-bind=none", "--cpus-per-task=2"], sys.argv
tasks = []
signal.signal(signal.SIGTERM, lambda *_: [task.send_signal(signal.SIGTERM) for task in tasks])
for number in range(2):
    own = {"SLURM_PROCID": str(number), "SLURM_LOCALID": "0", "SLURM_NODEID": str(number)}
    tasks.append(subprocess.Popen(sys.argv[3:], env=os.environ | own))
sys.exit(max(task.wait() for task in tasks))
"""
SCONTROL = """#!/usr/bin/env bash
if [ "$1" = show ]; then echo 127.0.0.1; else echo "$@" >> "$SCONTROL_LOG"; fi
"""


@pytest.mark.slow
def test_the_slurm_example_stops_is_queued_again_and_goes_on(
    place: Path, undisturbed: Path, tmp_path: Path
) -> None:
    for name, text in (("srun", SRUN), ("scontrol", SCONTROL)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(stat.S_IRWXU)
    own = {
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "SCONTROL_LOG": str(tmp_path / "log"),
        "PYTHON": sys.executable,
        "SLURM_JOB_ID": "7",
        "SLURM_JOB_NODELIST": "node[0-1]",
        "SLURM_NTASKS": "2",
        "SLURM_NNODES": "2",
        "SLURM_CPUS_ON_NODE": "2",
        "MASTER_PORT": str(free_port()),
    }
    folder = place / "runs" / "slurm"
    words = command(place, folder.name, "save_interval=100ba", launcher=("bash", "docs/slurm/train.sbatch"))
    words.remove("train/run.py")  # the example names it

    def submit() -> Process:
        return subprocess.Popen(
            words, cwd=ROOT, env=os.environ | own, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    job = submit()
    wait_for_steps(folder, 3, job)
    srun = next(child for child in psutil.Process(job.pid).children() if "srun" in " ".join(child.cmdline()))
    srun.send_signal(signal.SIGTERM)
    said, _ = job.communicate(timeout=120)
    assert job.returncode == 143, said[-3000:]
    assert (tmp_path / "log").read_text() == "requeue 7\n"
    job = submit()
    said, _ = job.communicate(timeout=120)
    assert job.returncode == 0, said[-3000:]
    assert losses(folder) == pytest.approx(losses(undisturbed), rel=1e-3)
    assert (tmp_path / "log").read_text() == "requeue 7\n"
