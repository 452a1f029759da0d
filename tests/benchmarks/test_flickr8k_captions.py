"""The stand-ins of the ablation: the same each time, each of its kind, and readable by engine.shard."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from benchmarks.flickr8k_captions import (
    DETAILS,
    NO_CAPTION,
    OTHER_IMAGE,
    alttexts,
    read_captions,
    rows,
    shorten,
    write_split,
)
from engine.sources import SourceOptions, open_source

CAPTIONS = {
    f"{n:04d}.jpg": [f"A small dog{n} runs fast number{k} on the green grass ." for k in range(5)]
    for n in range(400)
}


def test_the_same_seed_gives_the_same_rows() -> None:
    names = list(CAPTIONS)
    first = list(rows(CAPTIONS, names, 0))
    assert first == list(rows(CAPTIONS, names, 0))
    assert first != list(rows(CAPTIONS, names, 1))


def test_alttexts_are_noisy_wrong_or_none_in_the_stated_shares() -> None:
    counts: dict[str, int] = {}
    for row in rows(CAPTIONS, list(CAPTIONS), 0):
        own = f"dog{int(str(row['image'])[:4])}"
        kinds, texts = row["kinds"], row["alttext"]
        assert isinstance(kinds, list)
        assert isinstance(texts, list)
        for kind, text in zip(kinds, texts, strict=True):
            counts[kind] = counts.get(kind, 0) + 1
            if kind == "no_caption":
                assert "grass" not in text.split()
            elif kind == "other_image":
                assert own not in text.split()
            else:
                # Words of its own image only, besides what the page adds.
                assert all(word == own for word in text.split() if word.startswith("dog"))
    total = sum(counts.values())
    assert total == 3 * len(CAPTIONS)
    # 1,200 draws: three standard errors are 0.04.
    assert counts["other_image"] / total == pytest.approx(OTHER_IMAGE, abs=0.04)
    assert counts["no_caption"] / total == pytest.approx(NO_CAPTION, abs=0.04)


def test_alttexts_of_an_image_come_in_any_order() -> None:
    """Where nothing else is spoilt, every one of the three comes first about as often."""
    firsts = set()
    for seed in range(50):
        made = alttexts("x.jpg", ["one two", "three four", "five six"], ["zzz"], random.Random(seed))
        firsts |= {word for word in made[0][1].split() if word in ("two", "four", "six")}
    assert firsts == {"two", "four", "six"}


def test_vec_names_first_and_leaves_details_out() -> None:
    assert shorten("A black dog is running after a white dog in the snow .") == "A dog is running after a dog"
    assert shorten("Red .") == "Red ."
    assert not DETAILS & set(shorten("Two small children in old blue coats play .").lower().split())


def test_the_tables_are_input_for_engine_shard(tmp_path: Path) -> None:
    names = list(CAPTIONS)[:6]
    (tmp_path / "Flickr8k.token.txt").write_text(
        "".join(f"{name}#{k}\t{text}\n" for name in names for k, text in enumerate(CAPTIONS[name]))
    )
    (tmp_path / "Flickr_8k.trainImages.txt").write_text("\n".join(names))
    (tmp_path / "Flickr_8k.testImages.txt").write_text("\n".join(names[:3]))
    assert read_captions(tmp_path / "Flickr8k.token.txt") == {name: CAPTIONS[name] for name in names}
    shares = write_split(tmp_path, tmp_path / "out", "train", seed=0)
    assert shares.noisy + shares.other_image + shares.no_caption == 18
    write_split(tmp_path, tmp_path / "out", "test", seed=0)
    train, test = (
        [json.loads(line) for line in (tmp_path / "out" / f"{split}.jsonl").read_text().splitlines()]
        for split in ("train", "test")
    )
    assert [row["image"] for row in train] == names
    assert "reference" not in train[0]
    assert test[0]["reference"] == CAPTIONS[names[0]]
    assert train[0]["vecap"] == CAPTIONS[names[0]][0]
    assert [train[0][f"rewrite/{pack}"] for pack in "abcd"] == CAPTIONS[names[0]][1:]
    kinds = {name: name for name in ("alttext", "vec", "vecap", "rewrite/a")}
    table = str(tmp_path / "out" / "train.jsonl")
    source = open_source(SourceOptions((table,), captions=kinds, image_root=str(tmp_path)))
    assert source.caption_sources == tuple(kinds)
