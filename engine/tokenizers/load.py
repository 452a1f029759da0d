"""`load_tokenizer`: the one way in."""

from __future__ import annotations

from engine.tokenizers.base import Tokenizer


def load_tokenizer(spec: str, context_length: int | None = None) -> Tokenizer:
    """Load a tokenizer.

    Args:
        spec: `clip`, a folder with `tokenizer.json` (or older Hugging Face files), or a name on the Hub.
        context_length: the most ids a text may have, start and end included; default 77.

    Raises:
        UserError: not found, or its vocabulary does not fit uint16.
    """
    if spec == "clip":
        from engine.tokenizers.clip import ClipTokenizer

        return ClipTokenizer(context_length)
    from engine.tokenizers.huggingface import load_huggingface

    return load_huggingface(spec, context_length)
