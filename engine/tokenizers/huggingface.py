"""Hugging Face tokenizers by folder or name, run by the Rust `tokenizers` package."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer as RustTokenizer

from engine.errors import UserError
from engine.tokenizers.base import DEFAULT_CONTEXT_LENGTH, Tokenizer, TokenizerInfo, fingerprint_of, pack_ids

TRUNCATION = "text cut so that start and end tokens fit into context_length"
# What decides the ids of a text in tokenizer.json; padding and truncation are ours, decoding is not used.
DEFINING = ("added_tokens", "normalizer", "pre_tokenizer", "post_processor", "model")
FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")
SLOW_FILES = ("*.model", "vocab.txt", "vocab.json", "merges.txt")


@dataclass(frozen=True)
class Loaded:
    """A tokenizer and what its files say about it."""

    name: str
    rust: RustTokenizer
    definition: dict[str, Any]
    config: dict[str, Any]


def load_huggingface(spec: str, context_length: int | None) -> Tokenizer:
    """Load by folder, or by name from the Hub or its local cache.

    Raises:
        UserError: not found, not readable, no end token, or a vocabulary over uint16.
    """
    folder = Path(spec) if os.path.isdir(spec) else download(spec)
    if not (folder / "tokenizer.json").is_file():
        return HuggingFaceTokenizer(load_slow(spec, folder), context_length)
    text = (folder / "tokenizer.json").read_text("utf-8")
    try:
        rust = RustTokenizer.from_str(text)
    except Exception as error:  # the Rust side raises bare Exception
        raise UserError(f"{folder / 'tokenizer.json'}: not readable as a tokenizer: {error}") from None
    return HuggingFaceTokenizer(
        Loaded(name_of(spec), rust, json.loads(text), read_config(folder)), context_length
    )


def name_of(spec: str) -> str:
    """The name that metadata shows: of a folder only its last part, machine paths mean nothing elsewhere."""
    return Path(spec).resolve().name if os.path.isdir(spec) else spec


def download(name: str) -> Path:
    """The tokenizer's files from the Hub, or from the cache where there is no network.

    Raises:
        UserError: neither has them.
    """
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, allow_patterns=[*FILES, *SLOW_FILES]))
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        raise UserError(
            f"tokenizer {name!r}: no such folder, and not available from the Hugging Face Hub ({reason}); "
            f"expected clip, a folder with tokenizer.json, or a name such as t5-base"
        ) from None


def load_slow(spec: str, folder: Path) -> Loaded:
    """Convert a tokenizer that has no `tokenizer.json` (sentencepiece models) with transformers.

    Raises:
        UserError: transformers is not installed, or cannot convert it.
    """
    try:
        import transformers
    except ImportError:
        raise UserError(
            f"tokenizer {spec}: has no tokenizer.json; converting older files needs transformers: "
            f"pip install transformers sentencepiece protobuf"
        ) from None
    try:
        auto: Any = transformers.AutoTokenizer
        rust = auto.from_pretrained(str(folder), use_fast=True, trust_remote_code=False).backend_tokenizer
    except Exception as error:
        raise UserError(f"tokenizer {spec}: transformers cannot load {folder}: {error}") from None
    return Loaded(name_of(spec), rust, json.loads(rust.to_str()), read_config(folder))


def read_config(folder: Path) -> dict[str, Any]:
    """`tokenizer_config.json` over `special_tokens_map.json`; an empty dict where there are none."""
    config: dict[str, Any] = {}
    for name in ("special_tokens_map.json", "tokenizer_config.json"):
        if (folder / name).is_file():
            try:
                config.update(json.loads((folder / name).read_text("utf-8")))
            except ValueError as error:
                raise UserError(f"{folder / name}: no JSON: {error}") from None
    return config


class HuggingFaceTokenizer(Tokenizer):
    """Any tokenizer with an end token; start and end tokens as its post-processor sets them.

    Where the post-processor sets no end token one is added: text towers read their feature there.
    """

    def __init__(self, loaded: Loaded, context_length: int | None) -> None:
        """Find the special ids and set the truncation."""
        self._rust = loaded.rust
        self._rust.no_padding()
        self._rust.no_truncation()
        length = DEFAULT_CONTEXT_LENGTH if context_length is None else context_length
        eos = self._id(loaded, "eos_token", "sep_token")
        frame = self._rust.encode("").ids
        self._appended = [] if frame[-1:] == [eos] else [eos]
        bos = next(iter(frame if self._appended else frame[:-1]), None)
        pad = self._id(loaded, "pad_token", "eos_token", "sep_token")
        special = {"eos": eos, "bos": bos, "pad": pad, "appended": self._appended}
        super().__init__(
            TokenizerInfo(
                name=loaded.name,
                fingerprint=definition_fingerprint(loaded.definition, special, length),
                context_length=length,
                vocab_size=max(self._rust.get_vocab(with_added_tokens=True).values()) + 1,
                pad_id=pad,
                bos_id=bos,
                eos_id=eos,
                truncation=TRUNCATION,
            )
        )
        self._rust.enable_truncation(length - len(self._appended))

    def _id(self, loaded: Loaded, *roles: str) -> int:
        for role in roles:
            token = loaded.config.get(role)
            token = token.get("content") if isinstance(token, dict) else token
            found = self._rust.token_to_id(token) if isinstance(token, str) else None
            if found is not None:
                return int(found)
        raise UserError(
            f"tokenizer {loaded.name}: tokenizer_config.json names no usable {' or '.join(roles)}; "
            f"a text tower needs one, add it there"
        )

    def encode_batch(self, texts: Sequence[str]) -> tuple[NDArray[np.uint16], NDArray[np.uint16]]:
        """Encode captions; see `Tokenizer.encode_batch`."""
        encoded = self._rust.encode_batch_fast(list(texts))
        return pack_ids([*encoding.ids, *self._appended] for encoding in encoded)


def definition_fingerprint(definition: dict[str, Any], special: dict[str, Any], context_length: int) -> str:
    """SHA-256 of the defining parts of a `tokenizer.json`, whatever version of the package wrote it."""
    parts = {name: without_defaults(definition.get(name)) for name in DEFINING}
    model = parts["model"]
    if isinstance(model, dict) and isinstance(model.get("merges"), list):
        # "a b" before tokenizers 0.20, ["a", "b"] since
        model["merges"] = [pair.split(" ") if isinstance(pair, str) else pair for pair in model["merges"]]
    rule = {"context_length": context_length, "truncation": TRUNCATION}
    return fingerprint_of({"kind": "huggingface/1", "definition": parts, "special": special, **rule})


def without_defaults(value: Any) -> Any:
    """The value without null and false entries: new versions add such fields and mean what was before."""
    if isinstance(value, dict):
        kept = {name: without_defaults(entry) for name, entry in value.items()}
        return {name: entry for name, entry in kept.items() if entry is not None and entry is not False}
    return [without_defaults(entry) for entry in value] if isinstance(value, list) else value
