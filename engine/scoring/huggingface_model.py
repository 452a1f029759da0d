"""Models of transformers: CLIP, SigLIP and whatever else has features of images and texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from engine.errors import UserError
from engine.scoring.files import ModelFiles, require, text_of
from engine.scoring.options import ModelChoice
from engine.scoring.scorer import Loaded
from engine.scoring.tokens import HuggingFaceReader, TextReader, chosen_reader
from engine.scoring.transform import ImageTransform
from engine.tokenizers.huggingface import SLOW_FILES

if TYPE_CHECKING:
    from torch import Tensor

_FILTERS = {2: "bilinear", 3: "bicubic"}  # Pillow's numbers
PROCESSORS = ("preprocessor_config.json", "processor_config.json")
# Left out, transformers asks on a terminal whether to run the code.
SAFE = {"trust_remote_code": False}
# OpenAI's, of values in 0..1.
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)


def load(files: ModelFiles, choice: ModelChoice, device: str) -> Loaded:
    """Loads a model; never runs code that comes with it.

    Raises:
        UserError: transformers is missing or cannot read it, it is no CLIP, or its transform is not known.
    """
    require("transformers", f"model {files.name}")
    import transformers

    auto: Any = transformers
    tokenizer, images = None, None
    _check_tokenizer(files, choice)
    try:
        model, found = auto.AutoModel.from_pretrained(files.folder, output_loading_info=True, **SAFE)
        if choice.tokenizer is None:
            tokenizer = auto.AutoTokenizer.from_pretrained(files.folder, **SAFE)
        if _holds(files, PROCESSORS):
            images = auto.AutoImageProcessor.from_pretrained(files.folder, use_fast=False, **SAFE)
    except Exception as error:  # missing and damaged files raise many kinds
        raise UserError(f"model {files.name}: transformers cannot load it ({text_of(error)})") from error
    if not (hasattr(model, "get_image_features") and hasattr(model, "get_text_features")):
        raise UserError(f"model {files.name}: a {type(model).__name__} has no features of images and texts")
    if found["missing_keys"]:
        raise UserError(f"model {files.name}: its weights lack {min(found['missing_keys'])}")
    model.eval().float().to(device)

    def image(pixels: Tensor) -> Tensor:
        return _features(model.get_image_features(pixel_values=pixels))

    def text(ids: Tensor, mask: Tensor | None) -> Tensor:
        given = {} if mask is None else {"attention_mask": mask}
        return _features(model.get_text_features(input_ids=ids, **given))

    reader = _reader(model.config, tokenizer, choice)
    if images is not None:
        transform = transform_of(files.name, images)
    else:
        transform = _without_processor(files, choice, model.config, reader)
    return Loaded(image, text, transform, reader, model)


def _holds(files: ModelFiles, patterns: Sequence[str]) -> bool:
    assert files.folder is not None
    return any(any(files.folder.glob(pattern)) for pattern in patterns)


def _check_tokenizer(files: ModelFiles, choice: ModelChoice) -> None:
    if choice.tokenizer is None and not _holds(files, ("tokenizer.json", *SLOW_FILES)):
        raise UserError(
            f"model {files.name}: no tokenizer's files; say which one it reads: --tokenizer clip, a folder, "
            "or a name (Apple's VeCLIP models: t5-base)"
        )


def _reader(config: Any, tokenizer: Any, choice: ModelChoice) -> TextReader:
    text = config.text_config
    context = int(text.max_position_embeddings)
    if choice.tokenizer is None:
        # SigLIP was trained on texts of full length, padding and all.
        return HuggingFaceReader(tokenizer, context, masked=not config.model_type.startswith("siglip"))
    reader = chosen_reader(choice.tokenizer, context, text.vocab_size)
    end = reader.tokenizer.eos_id
    # Where the end token is said to be 2, transformers takes the largest id.
    sought = reader.tokenizer.vocab_size - 1 if text.eos_token_id == 2 else text.eos_token_id
    if config.model_type == "clip" and sought != end:
        raise UserError(
            f"--tokenizer {choice.tokenizer}: its texts end with {end}, the model looks for {sought}; give "
            "the model's own"
        )
    return reader


def _without_processor(
    files: ModelFiles, choice: ModelChoice, config: Any, reader: TextReader
) -> ImageTransform:
    """Of a CLIPModel that is config and weights alone, as Apple released VeCLIP and VeCap-DFN."""
    if choice.transform is None and not _is_t5(reader):
        raise UserError(
            f"model {files.name}: no {PROCESSORS[0]}, which says how images are resized; give back the file"
        )
    size = int(config.vision_config.image_size)
    return ImageTransform(size, "tensorflow", 0, "bilinear", CLIP_MEAN, CLIP_STD)


def _is_t5(reader: TextReader) -> bool:
    """T5's texts have no start token; their end is 1, their padding 0."""
    first, second = reader(["a", ""]).ids[:2]
    return bool(first[0] > 1 and second[0] == 1 and not second[1:].any())


def transform_of(name: str, images: Any) -> ImageTransform:
    """What an image processor of transformers does to a PIL image.

    Raises:
        UserError: it does what is not known here.
    """
    size, crop = dict(getattr(images, "size", {})), _crop(images)
    if not images.do_resize or int(images.resample) not in _FILTERS or not images.do_rescale:
        raise _unknown(name, images)
    if "shortest_edge" in size and crop is not None and size["shortest_edge"] >= crop:
        fit, side, shorter = "transformers", crop, int(size["shortest_edge"])
    elif size.get("height") == size.get("width") and crop in (None, size.get("height")) and "height" in size:
        fit, side, shorter = "squash", int(size["height"]), 0
    else:
        raise _unknown(name, images)
    mean, std = images.image_mean, images.image_std
    return ImageTransform(
        size=side,
        fit=fit,
        shorter=0 if shorter == side else shorter,
        filter=_FILTERS[int(images.resample)],
        mean=tuple(mean) if images.do_normalize else (0.0, 0.0, 0.0),
        std=tuple(std) if images.do_normalize else (1.0, 1.0, 1.0),
    )


def _crop(images: Any) -> int | None:
    """Side of the centre crop; None without one."""
    if not getattr(images, "do_center_crop", False):
        return None
    sides = set(dict(images.crop_size).values())
    return int(sides.pop()) if len(sides) == 1 else 0


def _unknown(name: str, images: Any) -> UserError:
    return UserError(
        f"model {name}: its image transform (size {getattr(images, 'size', None)}, resample "
        f"{images.resample}, crop {getattr(images, 'crop_size', None)}) is not known here; known are "
        "squares, bicubic or bilinear"
    )


def _features(output: Any) -> Tensor:
    """transformers 4 gives the features themselves, 5 an output that holds them."""
    features: Tensor = getattr(output, "pooler_output", output)
    return features
