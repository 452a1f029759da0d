"""A tokenizer's files beside a model, for transformers; and which tokenizer a folder's files are."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from engine.errors import UserError
from engine.tokenizers import Tokenizer, load_tokenizer
from engine.tokenizers.clip import SPECIALS, build_vocab, load_merges
from engine.tokenizers.huggingface import FILES, SLOW_FILES, download
from train.model.architecture import TokenizerFacts

# transformers' names of CLIP's start and end tokens.
HF_SPECIALS = ("<|startoftext|>", "<|endoftext|>")
# One of these holds the vocabulary.
VOCABULARIES = ("tokenizer.json", "vocab.*", "*.model")


def write_tokenizer(facts: TokenizerFacts, out: Path, spec: str | None) -> None:
    """Write the files of the tokenizer that a model was trained with.

    Args:
        facts: which it is.
        out: the model's folder.
        spec: where it is, a folder or a name on the Hub; not for `clip`, which comes with this package.

    Raises:
        UserError: no `spec` where one is needed, or another tokenizer there.
    """
    if facts.name == "clip":
        return _write_clip(facts, out)
    if spec is None:
        raise UserError(
            f"the model reads the tokenizer {facts.name}; say where it is: --tokenizer FOLDER_OR_NAME"
        )
    found = load_tokenizer(spec, facts.context_length)
    if found.fingerprint != facts.fingerprint:
        raise UserError(
            f"--tokenizer {spec}: another tokenizer ({found.fingerprint[:12]}) than the model's "
            f"({facts.name}, {facts.fingerprint[:12]})"
        )
    _copy_files(Path(spec) if Path(spec).is_dir() else download(spec), out, facts.context_length)


def _copy_files(folder: Path, out: Path, context_length: int) -> None:
    """As they are: transformers, asked to save them, adds tokens of its own to T5's."""
    for pattern in (*FILES, *SLOW_FILES):
        for path in folder.glob(pattern):
            shutil.copyfile(path, out / path.name)
    config = out / "tokenizer_config.json"
    values = json.loads(config.read_text(encoding="utf-8")) if config.exists() else {}
    values["model_max_length"] = context_length
    config.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")


def _write_clip(facts: TokenizerFacts, out: Path) -> None:
    merges = load_merges()
    vocab = dict(zip(SPECIALS, HF_SPECIALS, strict=True))
    ids = {vocab.get(token, token): number for token, number in build_vocab(merges).items()}
    (out / "vocab.json").write_text(json.dumps(ids, ensure_ascii=False), encoding="utf-8")
    lines = ["#version: 0.2", *(f"{left} {right}" for left, right in merges)]
    (out / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    start, end = HF_SPECIALS
    # transformers fills up with the end token: the tower reads the first one, and nothing behind it counts.
    special = {"bos_token": start, "eos_token": end, "unk_token": end, "pad_token": end}
    config = {"tokenizer_class": "CLIPTokenizer", "model_max_length": facts.context_length, **special}
    (out / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    (out / "special_tokens_map.json").write_text(json.dumps(special, indent=2) + "\n", encoding="utf-8")


def read_tokenizer_facts(folder: Path, text: Mapping[str, Any], spec: str | None = None) -> TokenizerFacts:
    """Return which tokenizer a model reads.

    Args:
        folder: the model's, perhaps with a tokenizer's files.
        text: fields of the text tower: its context length, and how many ids it knows.
        spec: overrides the files: `clip`, a folder, or a name on the Hub.

    Raises:
        UserError: there are no files and no `spec`, or the tower does not know all of its ids.
    """
    if spec is None:
        if not any(any(folder.glob(pattern)) for pattern in VOCABULARIES):
            raise UserError(
                f"{folder}: no tokenizer's files; say which one the model reads: --tokenizer clip, a folder, "
                "or a name (Apple's VeCLIP models: t5-base)"
            )
        spec = "clip" if is_clip(folder) else str(folder)
    found = load_tokenizer(spec, int(text["context_length"]))
    if found.vocab_size > text["vocab_size"]:
        raise UserError(
            f"{folder}: the text tower knows {text['vocab_size']} ids, the tokenizer {found.name} has "
            f"{found.vocab_size}; give the model's own with --tokenizer"
        )
    return facts_of(found)


def facts_of(tokenizer: Tokenizer) -> TokenizerFacts:
    """Return what a model must know of it."""
    return TokenizerFacts(
        tokenizer.name,
        tokenizer.fingerprint,
        tokenizer.context_length,
        tokenizer.vocab_size,
        tokenizer.eos_id,
        tokenizer.pad_id,
    )


def is_clip(folder: Path) -> bool:
    """Whether the files are those of CLIP's own vocabulary, which our `clip` reads as open_clip does."""
    path = folder / "vocab.json"
    if not path.exists():
        return False
    ids = json.loads(path.read_text(encoding="utf-8"))
    names = dict(zip(HF_SPECIALS, SPECIALS, strict=True))
    return {names.get(token, token): number for token, number in ids.items()} == build_vocab(load_merges())
