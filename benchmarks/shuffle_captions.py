"""A control for caption experiments: gives every image another image's captions.

    python -m benchmarks.shuffle_captions Flickr8k.token.txt shuffled.token.txt

A model trained on the result can learn what captions and images look like, not how they belong together;
its retrieval must fall to chance.
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path


def shuffled(lines: list[str], seed: int) -> list[str]:
    """Lines `name#i<TAB>caption` with the images' caption groups permuted; no image keeps its own."""
    groups: dict[str, list[str]] = {}
    for line in lines:
        name, caption = line.split("\t", 1)
        groups.setdefault(name.rsplit("#", 1)[0], []).append(caption)
    names = list(groups)
    order = names.copy()
    random.Random(seed).shuffle(order)
    # Each name takes the next one's captions along a random cycle, so that none is a fixed point.
    following = dict(zip(order, order[1:] + order[:1], strict=True))
    return [f"{name}#{i}\t{text}" for name in names for i, text in enumerate(groups[following[name]])]


def main() -> None:
    """Writes the shuffled token file."""
    parser = argparse.ArgumentParser(description="Permute captions among the images of a Flickr token file.")
    parser.add_argument("source", type=Path, metavar="TOKEN_FILE")
    parser.add_argument("target", type=Path, metavar="OUT")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    lines = [line for line in args.source.read_text(encoding="utf-8").splitlines() if line.strip()]
    args.target.write_text("\n".join(shuffled(lines, args.seed)) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
