"""A small tokenizer with the conventions of t5-base, which VeCLIP's released models read."""

from __future__ import annotations

import json
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors


def write_t5(folder: Path) -> Path:
    """Unigram, pad 0, eos </s> 1, unk 2, no start token."""
    folder.mkdir()
    pieces = ["▁a", "▁dog", "▁in", "▁the", "▁snow", "▁", *"abcdefghijklmnopqrstuvwxyz.,"]
    scores = [
        ("<pad>", 0.0),
        ("</s>", 0.0),
        ("<unk>", 0.0),
        *((p, -float(n + 2)) for n, p in enumerate(pieces)),
    ]
    rust = Tokenizer(models.Unigram(scores, unk_id=2))
    rust.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Strip()])
    rust.pre_tokenizer = pre_tokenizers.Metaspace()
    rust.decoder = decoders.Metaspace()
    rust.post_processor = processors.TemplateProcessing("$A </s>", "$A </s> $B </s>", [("</s>", 1)])
    rust.add_special_tokens(["<pad>", "</s>", "<unk>"])
    rust.save(str(folder / "tokenizer.json"))
    config = {"eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>", "model_max_length": 512}
    config["tokenizer_class"] = "T5TokenizerFast"
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder
