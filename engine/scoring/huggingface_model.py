"""Models of transformers: CLIP, SigLIP and whatever else has features of images and texts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from engine.errors import UserError
from engine.scoring.files import ModelFiles, require, text_of
from engine.scoring.scorer import Loaded
from engine.scoring.tokens import HuggingFaceReader
from engine.scoring.transform import ImageTransform

if TYPE_CHECKING:
    from torch import Tensor

_FILTERS = {2: "bilinear", 3: "bicubic"}  # Pillow's numbers


def load(files: ModelFiles, device: str) -> Loaded:
    """Loads a model; never runs code that comes with it.

    Raises:
        UserError: transformers is missing or cannot read it, it is no CLIP, or its transform is not known.
    """
    require("transformers", f"--model {files.name}")
    import transformers

    auto: Any = transformers
    try:
        # Left out, transformers asks on a terminal whether to run the code.
        safe = {"trust_remote_code": False}
        model, found = auto.AutoModel.from_pretrained(files.folder, output_loading_info=True, **safe)
        tokenizer = auto.AutoTokenizer.from_pretrained(files.folder, **safe)
        images = auto.AutoImageProcessor.from_pretrained(files.folder, use_fast=False, **safe)
    except Exception as error:  # missing and damaged files raise many kinds
        raise UserError(f"--model {files.name}: transformers cannot load it ({text_of(error)})") from error
    if not (hasattr(model, "get_image_features") and hasattr(model, "get_text_features")):
        raise UserError(f"--model {files.name}: a {type(model).__name__} has no features of images and texts")
    if found["missing_keys"]:
        raise UserError(f"--model {files.name}: its weights lack {min(found['missing_keys'])}")
    model.eval().float().to(device)

    def image(pixels: Tensor) -> Tensor:
        return _features(model.get_image_features(pixel_values=pixels))

    def text(ids: Tensor, mask: Tensor | None) -> Tensor:
        given = {} if mask is None else {"attention_mask": mask}
        return _features(model.get_text_features(input_ids=ids, **given))

    context = int(model.config.text_config.max_position_embeddings)
    # SigLIP was trained on texts of full length, padding and all.
    reader = HuggingFaceReader(tokenizer, context, masked=not model.config.model_type.startswith("siglip"))
    return Loaded(image, text, transform_of(files.name, images), reader)


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
        f"--model {name}: its image transform (size {getattr(images, 'size', None)}, resample "
        f"{images.resample}, crop {getattr(images, 'crop_size', None)}) is not known here; known are "
        "squares, bicubic or bilinear"
    )


def _features(output: Any) -> Tensor:
    """transformers 4 gives the features themselves, 5 an output that holds them."""
    features: Tensor = getattr(output, "pooler_output", output)
    return features
