"""The text clean-up that CLIP's tokenizer starts with (openai/CLIP and open_clip: `_clean_lower`)."""

from __future__ import annotations

import html
import re

# ftfy changes nothing in printable ASCII without "&", and is fifty times slower than this test.
_PLAIN = re.compile(r"[ -%'-~]*")


def clean_clip_text(text: str) -> str:
    """Repair mojibake, unescape HTML twice, collapse white space, lower-case."""
    if not _PLAIN.fullmatch(text):
        import ftfy  # loads 50 ms of tables: only when a caption needs them

        text = html.unescape(html.unescape(ftfy.fix_text(text)))
    return " ".join(text.split()).lower()
