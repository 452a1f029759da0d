"""CLIP's ids are open_clip's; Hugging Face ids are transformers'; fingerprints say when ids would differ."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sources_kit import shared_data
from t5_kit import write_t5
from tokenizers import Tokenizer as RustTokenizer
from tokenizers import models, pre_tokenizers

from engine.errors import UserError
from engine.tokenizers import Tokenizer, load_tokenizer
from engine.tokenizers.base import fingerprint_of
from engine.tokenizers.huggingface import definition_fingerprint

CLIP = load_tokenizer("clip")
WORDS = st.sampled_from(
    ["&amp;lt;", "&eacute;", "it's", "'LL", "'\u017f", "<start_of_text>", "<END_of_text>", "<|endoftext|>",
     "schÃ¶n", "ﬁ", "👩‍👩‍👧", "\u0345", "\x1b[31m", "\u200b", "İ", "K", "x" * 90, "1234", "日本語",
     "\x85", "\u2028"]
)  # fmt: skip
TEXT = st.lists(WORDS | st.text(st.characters(codec="utf-8"), max_size=12), max_size=8).map("".join)


def rows(tokenizer: Tokenizer, texts: Sequence[str]) -> list[list[int]]:
    """The ids of each text."""
    ids, lengths = tokenizer.encode_batch(texts)
    assert ids.dtype == lengths.dtype == np.uint16
    assert len(ids) == lengths.sum(dtype=int)
    ends = np.cumsum(lengths, dtype=int)
    return [row.tolist() for row in np.split(ids, ends[:-1])] if len(texts) else []


@cache
def open_clip() -> Any:
    """The reference."""
    from open_clip.tokenizer import SimpleTokenizer

    return SimpleTokenizer()


def assert_same_as_open_clip(texts: Sequence[str], context_length: int = 77) -> None:
    """Padded, our ids are open_clip's tensor."""
    ours = rows(load_tokenizer("clip", context_length) if context_length != 77 else CLIP, texts)
    padded = np.zeros((len(texts), context_length), int)
    for row, ids in zip(padded, ours, strict=True):
        row[: len(ids)] = ids
    np.testing.assert_array_equal(padded, open_clip()(list(texts), context_length).numpy())


@settings(max_examples=60, deadline=None)
@given(st.lists(TEXT, min_size=1, max_size=5))
def test_clip_ids_are_open_clips(texts: list[str]) -> None:
    assert_same_as_open_clip(texts)


def test_clip_ids_of_every_character() -> None:
    characters = [chr(code) for code in range(1, 0x20000) if not 0xD800 <= code < 0xE000]
    assert_same_as_open_clip(
        ["s".join(characters[start : start + 24]) for start in range(0, len(characters), 24)]
    )


def real_captions() -> list[str]:
    """Every caption of the shared data."""
    flickr = shared_data("flickr8k/Flickr8k.token.txt").read_text("utf-8").splitlines()[::4]
    books = [json.loads(line) for line in shared_data("openstax/alt.jsonl").read_text("utf-8").splitlines()]
    texts = [line.split("\t")[1] for line in flickr]
    texts += [book[name] for book in books for name in ("alt", "caption") if book[name]]
    texts += [path.read_text("utf-8") for path in shared_data("cc_web").glob("*/*.txt")]
    texts += shared_data("emoji_captions/captions.txt").read_text("utf-8").splitlines()
    return texts + shared_data("coco/captions.tsv").read_text("utf-8").splitlines()


def test_clip_ids_of_real_captions() -> None:
    assert_same_as_open_clip(real_captions())


@pytest.mark.parametrize("context_length", [3, 8, 32])
def test_clip_keeps_the_end_token_when_it_cuts(context_length: int) -> None:
    texts = ["a", "a dog in the snow " * 20, ""]
    assert_same_as_open_clip(texts, context_length)
    for row in rows(load_tokenizer("clip", context_length), texts):
        assert (row[0], row[-1]) == (CLIP.bos_id, CLIP.eos_id)


def test_clip_says_what_it_is() -> None:
    assert CLIP.describe() == {
        "name": "clip", "fingerprint": CLIP.fingerprint, "context_length": 77, "vocab_size": 49408,
        "pad_id": 0, "bos_id": 49406, "eos_id": 49407, "truncation": CLIP.truncation,
    }  # fmt: skip
    assert load_tokenizer("clip").fingerprint == CLIP.fingerprint
    assert load_tokenizer("clip", 32).fingerprint != CLIP.fingerprint
    # Datasets on disk carry this: it may only change together with the ids.
    assert CLIP.fingerprint == "f57657a358fb2e6e02910df79f406c592dba18581b0313edeacb8a344efe339a"
    assert rows(CLIP, []) == []


def test_importing_loads_no_torch() -> None:
    code = "import sys, engine.tokenizers, engine.sources; engine.tokenizers.load_tokenizer('clip'); "
    code += "sys.exit(', '.join({'torch', 'transformers', 'open_clip', 'datasets'} & set(sys.modules)) or 0)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.fixture(scope="module")
def t5_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_t5(tmp_path_factory.mktemp("t5") / "tiny-t5")


def test_t5_conventions(t5_folder: Path) -> None:
    tokenizer = load_tokenizer(str(t5_folder))
    assert (tokenizer.name, tokenizer.pad_id, tokenizer.eos_id, tokenizer.bos_id) == ("tiny-t5", 0, 1, None)
    assert rows(tokenizer, ["a dog in the snow", ""]) == [[3, 4, 5, 6, 7, 1], [1]]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=60), min_size=1, max_size=5))
def test_hugging_face_ids_are_transformers(t5_folder: Path, texts: list[str]) -> None:
    transformers = pytest.importorskip("transformers")
    reference = transformers.PreTrainedTokenizerFast.from_pretrained(str(t5_folder))
    expected = reference(texts, truncation=True, max_length=16)["input_ids"]
    assert rows(load_tokenizer(str(t5_folder), 16), texts) == expected


def test_fingerprints_follow_the_definition(t5_folder: Path, tmp_path: Path) -> None:
    definition = json.loads((t5_folder / "tokenizer.json").read_text())
    original = load_tokenizer(str(t5_folder)).fingerprint

    def fingerprint(changed: dict[str, object]) -> str:
        (tmp_path / "tokenizer.json").write_text(json.dumps(changed, indent=3))
        (tmp_path / "tokenizer_config.json").write_bytes((t5_folder / "tokenizer_config.json").read_bytes())
        return load_tokenizer(str(tmp_path)).fingerprint

    padding = {"strategy": {"Fixed": 9}, "direction": "Right", "pad_to_multiple_of": None, "pad_id": 0}
    padding |= {"pad_type_id": 0, "pad_token": "<pad>"}
    assert fingerprint({**definition, "padding": padding, "decoder": None}) == original
    assert fingerprint({**definition, "normalizer": None}) != original
    assert load_tokenizer(str(t5_folder), 16).fingerprint != original
    old, new = {"model": {"merges": ["a b"], "new_field": None}}, {"model": {"merges": [["a", "b"]]}}
    assert definition_fingerprint(old, {}, 77) == definition_fingerprint(new, {}, 77)
    assert fingerprint_of({"a": 1, "b": 2}) == fingerprint_of({"b": 2, "a": 1})


def test_a_tokenizer_that_sets_no_end_token_gets_one(tmp_path: Path) -> None:
    rust = RustTokenizer(models.WordLevel({"a": 0, "<e>": 1, "<u>": 2}, unk_token="<u>"))
    rust.pre_tokenizer = pre_tokenizers.Whitespace()
    rust.save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(UserError, match="names no usable eos_token"):
        load_tokenizer(str(tmp_path))
    (tmp_path / "special_tokens_map.json").write_text('{"eos_token": {"content": "<e>"}}')
    tokenizer = load_tokenizer(str(tmp_path), 4)
    assert rows(tokenizer, ["a a b a a a", "b"]) == [[0, 0, 2, 1], [2, 1]]
    assert tokenizer.pad_id == 1


def test_what_cannot_be_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    vocab = {str(n): n for n in range(65_537)}
    RustTokenizer(models.WordLevel(vocab, unk_token="0")).save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "tokenizer_config.json").write_text('{"eos_token": "1"}')
    with pytest.raises(UserError, match="65,537 token ids; ids are stored as uint16"):
        load_tokenizer(str(tmp_path))
    with pytest.raises(UserError, match="context length 2; expected 3 to"):
        load_tokenizer("clip", 2)
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(UserError, match="not readable as a tokenizer"):
        load_tokenizer(str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match="not available from the Hugging Face Hub"):
        load_tokenizer("nobody/nothing-here")
