"""CLIP models with random weights in folders, as open_clip and transformers save them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

SIZE = 32
CONTEXT = 24
OPENAI_MEAN = (0.48145466, 0.4578275, 0.40821073)
OPENAI_STD = (0.26862954, 0.26130258, 0.27577711)


def make_open_clip(folder: Path, **preprocess: Any) -> Path:
    """A model of open_clip's with the usual tokenizer."""
    import open_clip
    import torch
    from safetensors.torch import save_file

    config = {
        "embed_dim": 32,
        "vision_cfg": {"image_size": SIZE, "layers": 2, "width": 64, "patch_size": 8, "head_width": 32},
        "text_cfg": {"context_length": CONTEXT, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
    }
    usual = {"mean": OPENAI_MEAN, "std": OPENAI_STD, "interpolation": "bicubic", "resize_mode": "shortest"}
    folder.mkdir(parents=True)
    described = {"model_cfg": config, "preprocess_cfg": {**usual, **preprocess}}
    (folder / "open_clip_config.json").write_text(json.dumps(described))
    torch.manual_seed(0)
    state = open_clip.model.CLIP(**config).state_dict()
    save_file(
        {name: value.contiguous() for name, value in state.items()}, folder / "open_clip_model.safetensors"
    )
    return folder


def make_hf_tokenizer(folder: Path) -> int:
    """A byte by byte tokenizer with start, end and padding; returns the number of ids."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    special = ["<s>", "<pad>", "</s>"]
    vocabulary = {token: at for at, token in enumerate([*letters, *special])}
    inner = Tokenizer(models.BPE(vocabulary, []))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.add_special_tokens(special)
    inner.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", vocabulary["<s>"]), ("</s>", vocabulary["</s>"])]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=inner, bos_token="<s>", eos_token="</s>", pad_token="<pad>"
    ).save_pretrained(folder)
    return len(vocabulary)


def _tower() -> dict[str, Any]:
    return {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}


def make_hf_clip(folder: Path, shorter: int = SIZE) -> Path:
    """A CLIPModel of transformers."""
    import torch
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel

    folder.mkdir(parents=True)
    ids = make_hf_tokenizer(folder)
    config = CLIPConfig(
        vision_config={**_tower(), "image_size": SIZE, "patch_size": 8},
        text_config={
            **_tower(), "vocab_size": ids, "max_position_embeddings": CONTEXT, "bos_token_id": ids - 3,
            "pad_token_id": ids - 2, "eos_token_id": ids - 1,
        },
        projection_dim=32,
    )  # fmt: skip
    torch.manual_seed(0)
    CLIPModel(config).save_pretrained(folder)
    CLIPImageProcessor(
        size={"shortest_edge": shorter}, crop_size={"height": SIZE, "width": SIZE}
    ).save_pretrained(folder)
    return folder


def make_siglip(folder: Path) -> Path:
    """A SiglipModel of transformers: both sides squeezed, no mask, all texts of full length."""
    import torch
    from transformers import SiglipConfig, SiglipImageProcessor, SiglipModel

    folder.mkdir(parents=True)
    ids = make_hf_tokenizer(folder)
    config = SiglipConfig(
        vision_config={**_tower(), "image_size": SIZE, "patch_size": 8},
        text_config={**_tower(), "vocab_size": ids, "max_position_embeddings": CONTEXT},
    )
    torch.manual_seed(0)
    SiglipModel(config).save_pretrained(folder)
    SiglipImageProcessor(size={"height": SIZE, "width": SIZE}, resample=2).save_pretrained(folder)
    return folder


def make_models(folder: Path) -> Path:
    """A folder of folders, one a kind of model."""
    make_open_clip(folder / "open_clip")
    make_open_clip(folder / "squash", resize_mode="squash", interpolation="bilinear", mean=(0.5,) * 3)
    make_hf_clip(folder / "clip")
    make_hf_clip(folder / "clip_larger", shorter=41)
    make_siglip(folder / "siglip")
    return folder
