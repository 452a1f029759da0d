"""What a caption and a key may be. Everything that enters the engine passes here once."""

from __future__ import annotations

# CLIP reads 77 tokens, T5 512: 8,192 characters are far beyond both and keep text clean-up (ftfy) cheap.
MAX_CAPTION_CHARS = 8192
# `caption_counts` is uint16; no data set has hundreds of captions per image and source.
MAX_CAPTIONS_PER_SOURCE = 256
# URLs reach 2,000 bytes in practice; LAION's longest are data URIs cut at 4,096.
MAX_KEY_BYTES = 4096


def clean_caption(value: object) -> tuple[str, str | None]:
    """Bring one raw caption into shape.

    Args:
        value: what stood in the source: str, or UTF-8 bytes.

    Returns:
        `(text, None)` if usable, `(head, "caption_cut")` if it was over `MAX_CAPTION_CHARS`, and `("", code)`
        if it must be dropped. White space at both ends is removed, nothing else is changed.
    """
    if isinstance(value, bytes):
        # utf-8-sig: text files made on Windows start with a byte order mark
        value = value.decode("utf-8-sig", errors="surrogateescape")
    if not isinstance(value, str):
        return "", "caption_not_text"
    text = value[:MAX_CAPTION_CHARS].strip()
    if not text:
        return "", "caption_empty"
    if "\0" in text:
        return "", "caption_nul"
    if not is_utf8(text):
        return "", "caption_not_utf8"
    return text, "caption_cut" if len(value) > MAX_CAPTION_CHARS else None


def is_utf8(text: str) -> bool:
    """Whether `text` can be encoded: strings with lone surrogates cannot."""
    if text.isascii():
        return True
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def check_key(value: object) -> str | None:
    """What is wrong with a key, in words, or `None`: keys are non-empty UTF-8 text without NUL."""
    if not isinstance(value, str):
        return f"is {type(value).__name__}, not text"
    if not value:
        return "is empty"
    if "\0" in value:
        return "holds NUL"
    if not is_utf8(value):
        return "is not UTF-8"
    if len(value.encode("utf-8")) > MAX_KEY_BYTES:
        return f"is longer than {MAX_KEY_BYTES} bytes"
    return None


def printable(text: str, limit: int = 200) -> str:
    """`text` made safe for a reject row: valid UTF-8, no NUL, bounded."""
    return text[:limit].encode("utf-8", errors="backslashreplace").decode("utf-8").replace("\0", "\\x00")
