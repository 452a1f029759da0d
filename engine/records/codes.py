"""Every reason for which a sample or a caption can be left out: the only list of them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class RejectCode:
    """What a code means, and whether it counts against the failure budget (`--max-failures`)."""

    meaning: str
    counts_as_failure: bool = True


SOURCE_CODES = {
    "no_image": RejectCode("the sample has no image, or an empty one"),
    "no_caption": RejectCode("no caption source has a usable caption for this sample"),
    "bad_label": RejectCode("the class of an image is missing, or none of those that the set has"),
    "not_downloaded": RejectCode("img2dataset wrote down that the image could not be fetched", False),
    "image_missing": RejectCode("the image file that a table names does not exist or cannot be read"),
    "image_too_large": RejectCode("the image file is over the byte limit; it was not read"),
    "unsafe_path": RejectCode("an image path or member name leaves its folder"),
    "bad_key": RejectCode("the key is empty, too long, not UTF-8 or holds NUL"),
    "bad_row": RejectCode("a row or line of a table cannot be parsed"),
    "bad_json": RejectCode("a JSON field that captions, scores or keys come from cannot be parsed"),
    "bad_score": RejectCode("scores are not numbers, or not as many as the captions"),
    "field_too_large": RejectCode("a text field is over the byte limit; it was not read"),
    "duplicate_field": RejectCode("a sample of a tar has the same field twice"),
    "not_a_file": RejectCode("a member of a tar is a link or a device instead of a file"),
    "tar_truncated": RejectCode("the tar ends in the middle; its last sample cannot be trusted"),
    "tar_damaged": RejectCode("the tar cannot be read past this place; what follows is lost"),
    "unreadable": RejectCode("a parquet or arrow file cannot be read past this place; what follows is lost"),
}

CAPTION_CODES = {
    "caption_not_text": RejectCode("the caption is a number, an object or missing instead of text"),
    "caption_empty": RejectCode("the caption is empty or holds only white space"),
    "caption_nul": RejectCode("the caption holds NUL"),
    "caption_not_utf8": RejectCode("the caption is not UTF-8 or holds lone surrogates"),
    "caption_cut": RejectCode("the caption was longer than the limit; its head was kept", False),
    "caption_other_image": RejectCode("the ledger's caption was made for another image of this key", False),
    "caption_low_score": RejectCode("the caption's score is under --min-score", False),
    "caption_no_score": RejectCode("the caption has no score, and --min-score asks for one"),
    "caption_not_top": RejectCode("--keep-top kept captions with higher scores", False),
    "not_finite": RejectCode("the model that scores gave no number for the caption and its image"),
    "captions_cut": RejectCode("the source had more captions than the limit; the first were kept", False),
}

SHARD_CODES = {
    "sample_low_score": RejectCode("its best score is under --min-sample-score or --top-share", False),
    "sample_no_score": RejectCode("it has no score, and --min-sample-score or --top-share asks for one"),
    "duplicate_key": RejectCode("another sample with this key came before; kept once", False),
    "record_too_large": RejectCode("the packed sample does not fit into a shard"),
}

REJECT_CODES: dict[str, RejectCode] = {**SOURCE_CODES, **CAPTION_CODES, **SHARD_CODES}


def native_code(status_name: str) -> str:
    """The reject code of a native status (`engine.native.Status`): its name in lower case.

    The image checks of the C++ core need no second list: `csrc/core/status.hpp` holds their sentences.
    """
    return status_name.lower()


def counts_as_failure(code: str) -> bool:
    """Whether rejects with this code use up the failure budget; codes of native statuses always do."""
    known = REJECT_CODES.get(code)
    return known is None or known.counts_as_failure
