"""LLaMA and LLaVA checkpoints of a few hundred kB with random weights, as a program: tiny_models.py DIR.

For the environment that vLLM is installed in; makes DIR/llama and DIR/llava.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    CLIPImageProcessor,
    CLIPVisionConfig,
    LlamaConfig,
    LlamaForCausalLM,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
)

CHAT = "{% for m in messages %}{{ m.role }}: {% if m.content is string %}{{ m.content }}{% else %}{% for c in m.content %}{% if c.type == 'image' %}<image>{% else %}{{ c.text }}{% endif %}{% endfor %}{% endif %}\n{% endfor %}assistant:"  # noqa: E501
SPECIAL = ["<unk>", "<s>", "</s>", "<pad>", "<image>"]


def tokenizer() -> PreTrainedTokenizerFast:
    """Byte by byte, with the special tokens in front."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: at for at, token in enumerate([*SPECIAL, *letters])}
    inner = Tokenizer(models.BPE(vocabulary, [], unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    inner.add_special_tokens(SPECIAL)
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, unk_token="<unk>", bos_token="<s>", eos_token="</s>", pad_token="<pad>",
        chat_template=CHAT,
    )  # fmt: skip


def llama_config(vocabulary: int) -> LlamaConfig:
    """Two layers."""
    return LlamaConfig(
        vocab_size=vocabulary, hidden_size=128, intermediate_size=256, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=4, max_position_embeddings=2048,
        bos_token_id=1, eos_token_id=2, pad_token_id=3,
    )  # fmt: skip


def make_llama(folder: Path) -> None:
    """A text model."""
    words = tokenizer()
    LlamaForCausalLM(llama_config(len(words))).save_pretrained(folder)
    words.save_pretrained(folder)


def make_llava(folder: Path) -> None:
    """A model that sees images of 56 pixels."""
    words = tokenizer()
    vision = CLIPVisionConfig(
        hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=2, image_size=56,
        patch_size=14, projection_dim=64,
    )  # fmt: skip
    config = LlavaConfig(
        vision_config=vision, text_config=llama_config(len(words)), image_token_index=4,
        vision_feature_select_strategy="default", vision_feature_layer=-2,
    )  # fmt: skip
    LlavaForConditionalGeneration(config).save_pretrained(folder)
    images = CLIPImageProcessor(
        size={"shortest_edge": 56}, crop_size={"height": 56, "width": 56}, do_center_crop=True
    )
    LlavaProcessor(
        image_processor=images, tokenizer=words, patch_size=14, vision_feature_select_strategy="default",
        num_additional_image_tokens=1, chat_template=CHAT, image_token="<image>",
    ).save_pretrained(folder)  # fmt: skip
    _rename(folder / "model.safetensors")


def _rename(weights: Path) -> None:
    """transformers 5 saves the vision tower without the level that vLLM's loader expects."""
    found: dict[str, Any] = load_file(weights)
    renamed = {
        name.replace("vision_tower.", "vision_tower.vision_model.", 1)
        if "vision_tower." in name and "vision_tower.vision_model." not in name
        else name: value
        for name, value in found.items()
    }
    save_file(renamed, weights, {"format": "pt"})


if __name__ == "__main__":
    torch.manual_seed(0)
    make_llama(Path(sys.argv[1]) / "llama")
    make_llava(Path(sys.argv[1]) / "llava")
