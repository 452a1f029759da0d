"""What form an image file has, and why DALI is not given it."""

from __future__ import annotations

import warnings
from io import BytesIO

from engine.native import plain_jpegs

# Horizontal and vertical sampling of luma, with chroma at 1 x 1.
SAMPLINGS = {(2, 2): "4:2:0", (2, 1): "4:2:2", (1, 1): "4:4:4", (1, 2): "4:4:0", (4, 1): "4:1:1"}


def form_of(data: bytes) -> str:
    """Pillow's name of the format; of a JPEG file what matters to a decoder."""
    from PIL import Image

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with Image.open(BytesIO(data)) as image:
                name = image.format or "unknown"
                if name not in ("JPEG", "MPO"):
                    return name
                layers = [(across, down) for _, across, down, _ in image.layer]
                progressive = "progressive" in image.info
        except Exception:  # Pillow raises whatever its parsers meet
            return "unknown"
    return _jpeg(layers, progressive)


def _jpeg(layers: list[tuple[int, int]], progressive: bool) -> str:
    if len(layers) == 4:
        return "JPEG CMYK"
    if progressive:
        return "JPEG progressive"
    if len(layers) == 1:
        return "JPEG grey"
    regular = layers[1:] == [(1, 1)] * 2
    return f"JPEG {SAMPLINGS.get(layers[0], 'other') if regular else 'other'}"


def why_not_given(data: bytes, form: str) -> str:
    """Return the reason why `given_to_dali` leaves a file to our own core."""
    if not form.startswith("JPEG") or form == "JPEG CMYK":
        return form.removeprefix("JPEG ")
    if not data.endswith(b"\xff\xd9"):
        return "not ended by its end-of-image marker"
    return "a very small crop" if plain_jpegs([data]).any() else "irregular headers"
