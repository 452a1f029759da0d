"""Token ids stored ready for the model: CLIP BPE offline, any Hugging Face tokenizer by folder or name."""

from engine.tokenizers.base import DEFAULT_CONTEXT_LENGTH, Tokenizer, TokenizerInfo
from engine.tokenizers.load import load_tokenizer

__all__ = ["DEFAULT_CONTEXT_LENGTH", "Tokenizer", "TokenizerInfo", "load_tokenizer"]
