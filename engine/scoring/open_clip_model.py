"""Models of open_clip: folders with `open_clip_config.json`, and its architectures with weights."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from engine.errors import UserError
from engine.scoring.files import OPEN_CLIP_CONFIG, ModelFiles, require, text_of
from engine.scoring.options import ModelChoice
from engine.scoring.scorer import Loaded
from engine.scoring.tokens import ClipReader, OpenClipReader, TextReader, chosen_reader
from engine.scoring.transform import ImageTransform

if TYPE_CHECKING:
    from torch import Tensor

_FITS = {"shortest": "torchvision", "squash": "squash"}


def load(files: ModelFiles, choice: ModelChoice, device: str) -> Loaded:
    """Loads a model.

    Raises:
        UserError: open_clip is missing or cannot read it, or its transform is not known here.
    """
    require("open_clip", f"model {files.name}")
    import open_clip

    name = f"local-dir:{files.folder}" if files.folder else files.name
    pretrained = None if files.folder else files.tag or str(files.weights)
    try:
        with _quiet():
            model = open_clip.create_model(
                name, pretrained, precision="fp32", device=device, require_pretrained=True
            )
            tokenizer = None if choice.tokenizer else open_clip.get_tokenizer(name)
    except Exception as error:  # missing and damaged files raise many kinds
        raise UserError(f"model {files.name}: open_clip cannot load it ({text_of(error)})") from error
    model.eval()

    def text(ids: Tensor, mask: Tensor | None) -> Tensor:
        features: Tensor = model.encode_text(ids)
        return features

    transform = transform_of(files.name, model.visual.preprocess_cfg)
    reader: TextReader
    if choice.tokenizer:
        reader = chosen_reader(choice.tokenizer, int(model.context_length), int(model.vocab_size))
    else:
        reader = _reader(files, tokenizer)
    return Loaded(model.encode_image, text, transform, reader, model)


def transform_of(name: str, config: Mapping[str, Any]) -> ImageTransform:
    """open_clip's evaluation transform with this configuration (its `PreprocessCfg`).

    Raises:
        UserError: not square, or a resize that is not known here.
    """
    size = config["size"]
    sides = {size} if isinstance(size, int) else set(size)
    if len(sides) != 1 or config["resize_mode"] not in _FITS:
        raise UserError(
            f"model {name}: its image transform has size {size} and resize_mode {config['resize_mode']}; "
            f"known here are squares with {' or '.join(_FITS)}"
        )
    return ImageTransform(
        size=int(sides.pop()),
        fit=_FITS[config["resize_mode"]],
        shorter=0,
        filter="bilinear" if config["interpolation"] == "bilinear" else "bicubic",
        mean=tuple(config["mean"]),
        std=tuple(config["std"]),
    )


def _reader(files: ModelFiles, tokenizer: Any) -> TextReader:
    from open_clip.tokenizer import SimpleTokenizer

    if type(tokenizer) is SimpleTokenizer and not _text_config(files).get("tokenizer_kwargs"):
        return ClipReader(int(tokenizer.context_length))
    return OpenClipReader(tokenizer)


def _text_config(files: ModelFiles) -> Mapping[str, Any]:
    import open_clip

    if files.folder:
        config = json.loads((files.folder / OPEN_CLIP_CONFIG).read_bytes())["model_cfg"]
    else:
        config = open_clip.get_model_config(files.name)
    text: Mapping[str, Any] = config.get("text_cfg", {})
    return text


@contextmanager
def _quiet() -> Iterator[None]:
    """open_clip logs on the root logger what it is about to do."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        yield
    finally:
        logging.disable(before)
