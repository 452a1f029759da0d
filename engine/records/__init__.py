"""Records, captions, rejects, and the rules that text and keys must meet."""

from engine.records.codes import REJECT_CODES, RejectCode, counts_as_failure, native_code
from engine.records.text import (
    MAX_CAPTION_CHARS,
    MAX_CAPTIONS_PER_SOURCE,
    MAX_KEY_BYTES,
    check_key,
    clean_caption,
    is_utf8,
    printable,
)
from engine.records.types import Caption, DroppedCaption, Record, Reject

__all__ = [
    "MAX_CAPTIONS_PER_SOURCE",
    "MAX_CAPTION_CHARS",
    "MAX_KEY_BYTES",
    "REJECT_CODES",
    "Caption",
    "DroppedCaption",
    "Record",
    "Reject",
    "RejectCode",
    "check_key",
    "clean_caption",
    "counts_as_failure",
    "is_utf8",
    "native_code",
    "printable",
]
