"""`load_tokenizer`: the one way in."""

from __future__ import annotations

from engine.errors import UserError
from engine.tokenizers.base import Tokenizer


def load_tokenizer(spec: str, context_length: int | None = None) -> Tokenizer:
    """Load a tokenizer.

    Args:
        spec: `clip`, a folder with `tokenizer.json` (or older Hugging Face files), or a name on the Hugging Face Hub.
        context_length: the most ids a text may have, start and end included; default 77.

    Raises:
        UserError: not found, or its vocabulary does not fit uint16.
    """
    if spec == "clip":
        from engine.tokenizers.clip import ClipTokenizer

        return ClipTokenizer(context_length)
    raise UserError(f"tokenizer {spec!r}: unknown; expected clip")
