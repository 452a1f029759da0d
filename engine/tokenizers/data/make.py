"""Write the data files of the CLIP tokenizer from an installed open_clip and regex (run by hand, once).

    python engine/tokenizers/data/make.py

`clip_merges.txt.gz` is the merge list that open_clip's SimpleTokenizer keeps, in rank order.
`clip_classes.json` is what its pattern takes for a letter, a number or nothing, as code point ranges:
measured rather than named, because `regex` and the Rust tokenizers know different Unicode versions.
"""

from __future__ import annotations

import gzip
import json
from pathlib import Path

HERE = Path(__file__).parent
SURROGATES = range(0xD800, 0xE000)


def merge_list() -> str:
    """The merges, one `left right` a line."""
    from open_clip.tokenizer import SimpleTokenizer

    return "".join(f"{left} {right}\n" for left, right in SimpleTokenizer().bpe_ranks)


def ranges_of(pattern: str) -> list[list[int]]:
    """Code point ranges `[first, last]` of the characters that `pattern` matches, case ignored."""
    import regex

    matcher = regex.compile(pattern, regex.IGNORECASE)
    ranges: list[list[int]] = []
    for code in range(0x110000):
        if code in SURROGATES or not matcher.fullmatch(chr(code)):
            continue
        if ranges and ranges[-1][1] == code - 1:
            ranges[-1][1] = code
        else:
            ranges.append([code, code])
    return ranges


def skipped_ranges() -> list[list[int]]:
    """What neither a word, a number nor the rest takes: white space, and U+0345, which equals a letter."""
    taken = [*ranges_of(r"[\p{L}]"), *ranges_of(r"[\p{N}]"), *ranges_of(r"[^\s\p{L}\p{N}]")]
    skipped: list[list[int]] = []
    position = 0
    for first, last in sorted(taken):
        if position < first:
            skipped.append([position, first - 1])
        position = max(position, last + 1)
    return [pair for pair in skipped if pair != [SURROGATES.start, SURROGATES.stop - 1]]


def main() -> None:
    """Write both files."""
    packed = gzip.compress(merge_list().encode("utf-8"), compresslevel=9, mtime=0)
    (HERE / "clip_merges.txt.gz").write_bytes(packed)
    classes = {"letter": ranges_of(r"[\p{L}]"), "number": ranges_of(r"[\p{N}]"), "skipped": skipped_ranges()}
    (HERE / "clip_classes.json").write_text(json.dumps(classes, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
