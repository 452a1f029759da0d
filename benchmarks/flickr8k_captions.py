"""Stand-ins for AltText, VeC, VeCap and rewrites, made from the five human captions of Flickr8k's images.

    python -m benchmarks.flickr8k_captions DATA out/flickr8k_kinds

DATA holds `Flickr8k.token.txt`, the official split files and `images/`. Writes `train.jsonl` and `test.jsonl`
for `engine.shard`; the same input and seed give the same bytes. What stands for what, of an image's human
captions h0 to h4:

alttext (3)       h1, h2, h3 as the web would have them: in any order, each a noisy copy (words lost, names of
                  files, prices and sites around it), a noisy caption of another image, or no caption at all.
vecap             h0: fluent, complete, correct.
vec               h0 cut to what it names first: no colours, sizes, numbers, nothing behind the first clause.
rewrite/a ... /d  h1 to h4: four fluent texts, the first three of which say what an AltText says.
reference (5)     all of them; only in test.jsonl, to retrieve with.

No language model has seen any of it: an ablation on these shows what the engine's policies do, not what the
papers' captions are worth.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

TOKEN_FILE = "Flickr8k.token.txt"
SPLIT_FILE = "Flickr_8k.{split}Images.txt"
REWRITES = ("a", "b", "c", "d")
OTHER_IMAGE, NO_CAPTION = 0.25, 0.15  # shares of the AltTexts; the rest are noisy copies
WORD_LOSS = 0.3
CLUTTER = 0.5  # share of the noisy texts with something of the page around them
DETAILS = frozenset(
    [
        *(
            "black",
            "white",
            "red",
            "blue",
            "green",
            "yellow",
            "orange",
            "pink",
            "purple",
            "brown",
            "gray",
            "grey",
        ),
        *("blond", "blonde", "tan", "golden", "dark", "light", "bright", "colorful", "small", "large", "big"),
        *("little", "tall", "short", "young", "old", "older", "one", "two", "three", "four", "five", "six"),
        *("several", "many", "some", "another", "other", "very"),
    ]
)
CLAUSES = frozenset(
    [
        *(
            "in",
            "on",
            "at",
            "with",
            "near",
            "by",
            "while",
            "as",
            "that",
            "which",
            "who",
            "and",
            "behind",
            "beside",
        ),
        *("through", "over", "along", "under", "next", "toward", "towards", "wearing", "holding", "carrying"),
        *("into", "onto", "from", "of", "for", "around", "across", "against"),
    ]
)
NAMED_FIRST = 3  # words of a VeC before a clause may end it


@dataclass(frozen=True)
class Shares:
    """How the AltTexts came out; counts."""

    other_image: int
    no_caption: int
    noisy: int


def read_captions(path: Path) -> dict[str, list[str]]:
    """Image name to its captions, from a token file (`name#i<TAB>caption`)."""
    captions: dict[str, list[str]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        name, tab, text = line.partition("\t")
        if tab:
            captions.setdefault(name.rsplit("#", 1)[0], []).append(" ".join(text.split()))
    return captions


def shorten(caption: str) -> str:
    """What a caption names first, without details: a stand-in for VeC."""
    words: list[str] = []
    for word in caption.rstrip(" .").split():
        if len(words) >= NAMED_FIRST and word.lower() in CLAUSES:
            break
        if word.lower() not in DETAILS:
            words.append(word)
    return " ".join(words) or caption


def alttexts(
    name: str, own: Sequence[str], others: Sequence[str], draw: random.Random
) -> list[tuple[str, str]]:
    """Pairs (kind, text), one for each of `own`, in a random order.

    Args:
        name: the image's file name.
        own: captions to spoil.
        others: captions of other images.
        draw: decides everything.
    """
    made = [_alttext(name, caption, others, draw) for caption in own]
    draw.shuffle(made)
    return made


def _alttext(name: str, caption: str, others: Sequence[str], draw: random.Random) -> tuple[str, str]:
    kind = draw.random()
    if kind < NO_CAPTION:
        return "no_caption", _page(name, draw)
    if kind < NO_CAPTION + OTHER_IMAGE:
        return "other_image", _spoilt(draw.choice(others), name, draw)
    return "noisy", _spoilt(caption, name, draw)


def _spoilt(caption: str, name: str, draw: random.Random) -> str:
    words = [word.lower() for word in caption.rstrip(" .").split()]
    kept = [word for word in words if draw.random() >= WORD_LOSS] or words[:1]
    text = " ".join(kept)
    return f"{text} {_page(name, draw)}" if draw.random() < CLUTTER else text


def _page(name: str, draw: random.Random) -> str:
    """What stands around captions on pages."""
    number = draw.randrange(10_000)
    return draw.choice(
        [
            f"IMG_{number:04d}.JPG",
            Path(name).stem,
            f"${number / 100:.2f} free shipping",
            f"photo {number} | stock images",
            "click to enlarge",
            f"www.photos{number % 100}.com",
            "image may contain",
        ]
    )


def rows(captions: dict[str, list[str]], names: Sequence[str], seed: int) -> Iterator[dict[str, object]]:
    """One row of the table for each image of `names`, with `reference` and the AltTexts' `kinds`.

    Each image's draws follow from its name and the seed alone, so that no other image changes them.
    """
    order = sorted(names)
    for name in names:
        draw = random.Random(f"{seed}/{name}")
        own = captions[name]
        stranger = name
        while stranger == name:
            stranger = draw.choice(order)
        made = alttexts(name, own[1:4], captions[stranger], draw)
        yield {
            "image": name,
            "alttext": [text for _, text in made],
            "vec": shorten(own[0]),
            "vecap": own[0],
            **{f"rewrite/{pack}": own[i] for i, pack in enumerate(REWRITES, 1)},
            "reference": own,
            "kinds": [kind for kind, _ in made],
        }


def write_split(data: Path, out: Path, split: str, seed: int) -> Shares:
    """Writes OUT/SPLIT.jsonl."""
    captions = read_captions(data / TOKEN_FILE)
    names = (data / SPLIT_FILE.format(split=split)).read_text(encoding="utf-8").split()
    kinds: list[str] = []
    out.mkdir(parents=True, exist_ok=True)
    with (out / f"{split}.jsonl").open("w", encoding="utf-8") as file:
        for row in rows(captions, names, seed):
            kinds += row.pop("kinds")  # type: ignore[arg-type]
            if split == "train":
                del row["reference"]
            file.write(json.dumps(row) + "\n")
    return Shares(kinds.count("other_image"), kinds.count("no_caption"), kinds.count("noisy"))


def main() -> None:
    """Writes both tables and says how the AltTexts came out."""
    parser = argparse.ArgumentParser(description="Make caption kinds from Flickr8k's human captions.")
    parser.add_argument("data", type=Path, metavar="DATA", help="Flickr8k: token file, split files, images/")
    parser.add_argument("out", type=Path, metavar="OUT", help="folder of the tables")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    for split in ("train", "test"):
        shares = write_split(args.data, args.out, split, args.seed)
        print(f"{split}: AltTexts {shares.noisy} noisy, {shares.other_image} of another image, "
              f"{shares.no_caption} no caption")  # fmt: skip


if __name__ == "__main__":
    main()
