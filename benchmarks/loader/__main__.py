"""The command line: python -m benchmarks.loader --help."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import loader
from benchmarks.loader.data import make_small, prepare, read_images
from benchmarks.loader.peers import OURS, PEERS, Peer
from benchmarks.loader.process import PeerFailedError
from benchmarks.loader.report import machine, print_rows
from benchmarks.loader.rounds import Protocol, Row, measure_cell, rows_of_cell
from benchmarks.loader.work import Folders, Work

# Long enough epochs for every peer: an epoch's start and end cost the same for few samples as for many.
EPOCH_IMAGES = {"originals": 4_000, "small": 8_000}
QUICK_EPOCH_IMAGES = 2_400
QUICK_PEERS = ["open_clip", "torchvision", "mosaicml", "our_kernel"]


@dataclass(frozen=True)
class Options:
    """What to measure."""

    images: Path
    json: Path | None
    quick: bool
    limit: int
    rounds: int
    seconds: float
    batch: int
    peers: tuple[str, ...]
    levels: tuple[str, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    threads: tuple[int, ...]
    work: Path


def parse(arguments: Sequence[str] | None) -> Options:
    """Options from the command line; --quick changes the defaults."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks.loader",
        description=loader.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    names = [peer.name for peer in PEERS]
    add = parser.add_argument
    add("--images", type=Path, required=True, metavar="DIR", help="folder of JPEG files: the originals")
    add("--json", type=Path, metavar="FILE", help="write the rows there")
    add("--quick", action="store_true", help="a few peers, small images, float32: within a minute")
    add("--limit", type=int, help="distinct images taken (default 96, quick 24)")
    add("--rounds", type=int, help="turns of each peer (default 5, quick 3)")
    add("--seconds", type=float, help="of each turn (default 2, quick 0.25)")
    add("--batch", type=int, default=64, help="images a batch (default 64)")
    add("--peers", nargs="+", choices=names, metavar="NAME", help=", ".join(names))
    add("--levels", nargs="+", choices=["kernel", "loader"], default=["kernel", "loader"])
    add("--inputs", nargs="+", choices=["originals", "small"], help="default both, quick small")
    add("--outputs", nargs="+", choices=["float32", "uint8"], help="default both, quick float32")
    add("--threads", nargs="+", type=int, help="of the loaders, as many cores (default 1 2, quick 2)")
    add("--work", type=Path, default=Path(tempfile.gettempdir()), metavar="DIR", help="for the packed images")
    given: Any = parser.parse_args(arguments)
    usual = {"limit": 96, "rounds": 5, "seconds": 2.0, "threads": [1, 2], "peers": names}
    usual |= {"inputs": ["originals", "small"], "outputs": ["float32", "uint8"]}
    quick = {"limit": 24, "rounds": 3, "seconds": 0.25, "threads": [2], "peers": QUICK_PEERS}
    quick |= {"inputs": ["small"], "outputs": ["float32"]}
    for name, value in (quick if given.quick else usual).items():
        if getattr(given, name) is None:
            setattr(given, name, value)
    lists = {key: tuple(value) for key, value in vars(given).items() if isinstance(value, list)}
    return Options(**(vars(given) | lists))


def installed(names: Sequence[str]) -> list[Peer]:
    """The peers that can run; one that is missing gets a line that says what to install."""
    found = []
    for peer in PEERS:
        if peer.name in names:
            if package := peer.missing():
                print(f"{peer.name}: skipped, {package} is not installed ({peer.install})", file=sys.stderr)
            else:
                found.append(peer)
    return found


def cells(
    options: Options, folders: dict[str, Folders], peers: Sequence[Peer]
) -> Iterator[tuple[str, Work, list[str]]]:
    """(input, work of ours, names of the peers) in the order of the table."""
    cores = sorted(os.sched_getaffinity(0))
    for level in options.levels:
        for name in options.inputs:
            for output in options.outputs:
                for threads in (1,) if level == "kernel" else options.threads:
                    taking_part = [
                        peer.name
                        for peer in peers
                        if output in peer.outputs(level)
                        and not (peer.name == "ours_1_thread" and threads == 1)
                    ]
                    root = str(folders[name].root)
                    work = Work(
                        root, OURS.name, level, output, threads, options.batch, tuple(cores[:threads])
                    )
                    if taking_part:
                        yield name, work, taking_part


def make_inputs(options: Options, root: Path, peers: Sequence[Peer]) -> dict[str, Folders]:
    """Pack both inputs for the peers; kernels need the distinct images only."""
    originals = read_images(options.images, options.limit)
    if not originals:
        raise SystemExit(f"--images {options.images}: no JPEG files there; give a folder that holds some")
    packed = {OURS.name, *(peer.name for peer in peers)} if "loader" in options.levels else set()
    made = {}
    for name in options.inputs:
        images = originals if name == "originals" else [make_small(data) for data in originals]
        epoch = QUICK_EPOCH_IMAGES if options.quick else EPOCH_IMAGES[name]
        size = sum(map(len, images)) / len(images) / 1000
        print(f"{name}: {len(images)} distinct images of {size:.1f} KB on average")
        made[name] = prepare(root / name, images, max(1, epoch // len(images)), sorted(packed))
    return made


def run(options: Options) -> list[Row]:
    """Measure all cells; prints each as it is done."""
    peers = installed(options.peers)
    protocol = Protocol(options.rounds, options.seconds, memory=not options.quick)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(dir=options.work) as folder:
        folders = make_inputs(options, Path(folder), peers)
        for name, work, taking_part in cells(options, folders, peers):
            turns = measure_cell(work, taking_part, protocol, lambda line: print(line, file=sys.stderr))
            new = rows_of_cell(work, name, turns)
            print_rows(new)
            rows += new
            if options.json:
                options.json.write_text(json.dumps(rows, indent=1) + "\n")
    return rows


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    options = parse(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # frozen children must be ended, not left
    start = time.perf_counter()
    print(machine())
    try:
        run(options)
    except PeerFailedError as error:
        print(f"our own process failed: {error}", file=sys.stderr)
        return 1
    print(f"\n{machine()}; {time.perf_counter() - start:.0f} s in all")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
