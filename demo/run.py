"""`make demo`: a small corpus made, sharded, verified, looked at, trained on three ways and compared."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from demo.corpus import TEST, TRAIN, make_split

ROOT = Path(__file__).resolve().parent.parent
OUT = Path("out/demo")
RECIPE = "yamls/demo.yaml"
CONTEXT_LENGTH = 48  # the longest of the corpus's captions fits; CLIP's 77 would cost a third more time
MADE_FROM = OUT / "made_from"  # hash of the sources that the results below OUT belong to
POLICIES = {
    "AltText only": ("alttext", "data.policy.weights={alttext: 1}"),
    "VeCap only": ("vecap", "data.policy.weights={vecap: 1}"),
    "mixed": ("mixed", "data.policy.weights=uniform"),
}
DIRECTIONS = ("image_to_text", "text_to_image")
RANKS = (1, 5, 10)


def say(text: str) -> None:
    """One line about what happens next."""
    print(f"\n== {text}", flush=True)


def call(*words: str) -> None:
    """Runs a command and shows it; its failure ends the demo."""
    print(f"$ {shlex.join(words)}", flush=True)
    program = {"python": sys.executable, "composer": str(Path(sys.executable).with_name("composer"))}[
        words[0]
    ]
    done = subprocess.run([program, *words[1:]], check=False)
    if done.returncode:
        sys.exit(
            f"demo: the command above failed (exit code {done.returncode}); run `make demo` again to go on"
        )


def start_afresh_if_changed() -> None:
    """Removes earlier results when the corpus's or the recipe's sources are not those they were made from."""
    files = [*sorted(Path("demo").glob("*.py")), Path(RECIPE)]
    digest = hashlib.sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest()
    if MADE_FROM.exists() and MADE_FROM.read_text() == digest:
        return
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir(parents=True)
    MADE_FROM.write_text(digest)


def shard(split: str, sources: Sequence[str]) -> None:
    """Packs a split of the corpus; a finished dataset is left alone, an unfinished one continued."""
    folder = OUT / "shards" / split
    if not (folder / "index.json").exists():
        captions = [word for source in sources for word in ("--caption", f"{source}={source}")]
        words = [*captions, "--context-length", str(CONTEXT_LENGTH), "--out", str(folder)]
        call("python", "-m", "engine.shard", f"{OUT}/corpus/{split}/table.csv", *words)
    call("python", "-m", "engine.verify", str(folder))


def train(name: str, setting: str) -> None:
    """One training; a finished one is left alone, an unfinished one goes on from its checkpoint."""
    folder = OUT / "runs" / name
    if (folder / "results.json").exists():
        print(f"{folder}: finished earlier")
        return
    words = [setting, f"run_name={name}", f"save_folder={folder}", "autoresume=true"]
    call("composer", "train/run.py", RECIPE, *words)


def recalls(name: str) -> dict[str, float]:
    """What a training measured on the held-out set."""
    results: dict[str, float] = json.loads((OUT / "runs" / name / "results.json").read_text())
    return results


def table() -> str:
    """R@1/5/10 of the three trainings and of chance, in both directions, as text."""
    images = TEST.pictures
    rows = {"chance": [100 * k / images for _ in DIRECTIONS for k in RANKS]}
    for title, (name, _) in POLICIES.items():
        found = recalls(name)
        rows[title] = [100 * found[f"{direction}_r@{k}"] for direction in DIRECTIONS for k in RANKS]
    width = 8
    heads = [
        " " * 14 + "".join(f"{d.replace('_', ' '):>{len(RANKS) * width}}" for d in DIRECTIONS),
        f"{'trained on':<14}" + "".join(f"{f'R@{k}':>{width}}" for _ in DIRECTIONS for k in RANKS),
    ]
    lines = [f"{title:<14}" + "".join(f"{v:>{width}.1f}" for v in row) for title, row in rows.items()]
    return "\n".join([*heads, *lines])


def main() -> None:
    """All steps, in order."""
    os.chdir(ROOT)
    started = time.monotonic()
    start_afresh_if_changed()
    say("corpus: drawn pictures with web-like AltText and model-like VeCap (demo/README.md)")
    for split in (TRAIN, TEST):
        make_split(split, OUT / "corpus" / split.name)
    say("shards: the engine packs and verifies both splits")
    shard("train", ("alttext", "vecap"))
    shard("test", ("alttext", "reference"))
    say("two packed samples")
    call("python", "-m", "engine.inspect", str(OUT / "shards/train"), "--terminal", "--count", "2")
    for title, (name, setting) in POLICIES.items():
        say(f"training: {title}, from the same shards")
        train(name, setting)
    say(f"retrieval among {TEST.pictures} held-out pictures with people's captions, per cent")
    print(table())
    print(f"\nmade in {time.monotonic() - started:.0f} s: {OUT}/corpus, {OUT}/shards, {OUT}/runs")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("\ndemo: stopped; `make demo` goes on from here")
