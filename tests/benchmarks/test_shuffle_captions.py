"""The shuffled control: every caption stays, none stays with its image."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.shuffle_captions import shuffled

ROOT = Path(__file__).resolve().parents[2]


def token_lines(counts: list[int]) -> list[str]:
    """A token file's lines: image n has counts[n] captions, each of them unlike any other."""
    return [f"{n}.jpg#{i}\tcaption {i} of {n}\ttab" for n, count in enumerate(counts) for i in range(count)]


def captions_of(lines: list[str]) -> dict[str, list[str]]:
    """The captions by image, in the order of their numbers, which count from 0."""
    found: dict[str, list[str]] = {}
    for line in lines:
        key, caption = line.split("\t", 1)
        name, number = key.rsplit("#", 1)
        found.setdefault(name, []).append(caption)
        assert int(number) == len(found[name]) - 1
    return found


@given(st.lists(st.integers(1, 6), min_size=2, max_size=40), st.integers(0, 2**32))
def test_no_image_keeps_its_own_and_all_captions_remain(counts: list[int], seed: int) -> None:
    lines = token_lines(counts)
    before, after = captions_of(lines), captions_of(shuffled(lines, seed))
    assert after.keys() == before.keys()
    for name in before:
        assert not set(before[name]) & set(after[name])
    # Groups stay together: what one image had, one other image has.
    assert Counter(map(tuple, after.values())) == Counter(map(tuple, before.values()))


def test_the_seed_decides() -> None:
    lines = token_lines([5] * 50)
    assert shuffled(lines, 1) == shuffled(lines, 1)
    assert shuffled(lines, 1) != shuffled(lines, 2)


@pytest.mark.parametrize("seed", ["0", "3"])
def test_the_command_writes_a_token_file(tmp_path: Path, seed: str) -> None:
    lines = [*token_lines([5, 5, 4]), "z.jpg#0\tein Hund läuft"]
    source, target = tmp_path / "in.txt", tmp_path / "out.txt"
    source.write_text("\n".join(lines) + "\n\n", encoding="utf-8")
    words = ["benchmarks.shuffle_captions", str(source), str(target), "--seed", seed]
    subprocess.run([sys.executable, "-m", *words], cwd=ROOT, check=True, timeout=60)
    text = target.read_text(encoding="utf-8")
    assert text.endswith("\n")
    assert text.splitlines() == shuffled(lines, int(seed))
