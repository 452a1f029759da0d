"""Images in every variant that Pillow can write, and what Pillow reads back."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from engine.native import NativeError, decode_rgb

SHARED = Path(
    os.environ.get("VECLIP_SHARED_DATA", Path(__file__).resolve().parents[2].parent / "shared" / "data")
)
Image8 = NDArray[np.uint8]


def pillow_rgb(data: bytes) -> Image8 | None:
    """Pillow's pixels, or None where it refuses."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return np.asarray(Image.open(BytesIO(data)).convert("RGB"))
        except Exception:
            return None


def native_rgb(data: bytes) -> Image8 | None:
    """Our pixels, or None where we refuse."""
    try:
        return decode_rgb(data)
    except NativeError:
        return None


def assert_pixels(actual: bytes, expected: bytes) -> None:
    """Both decode, ours on the left and Pillow on the right, to the same pixels."""
    ours, reference = native_rgb(actual), pillow_rgb(expected)
    assert ours is not None
    assert reference is not None
    np.testing.assert_array_equal(ours, reference)


def assert_same(data: bytes, name: str = "") -> None:
    """Equal pixels, or both refuse."""
    ours, reference = native_rgb(data), pillow_rgb(data)
    assert (ours is None) == (reference is None), name
    if ours is not None and reference is not None:
        np.testing.assert_array_equal(ours, reference, err_msg=name)


def picture(mode: str, width: int = 61, height: int = 47) -> Image.Image:
    """Smooth colours with some noise: both survive compression differently."""
    rng = np.random.default_rng(width * height)
    y, x = np.mgrid[0:height, 0:width]
    planes = np.stack([x * 4, y * 5, (x + y) * 2, 255 - x * 3], axis=-1) + rng.integers(
        0, 40, (height, width, 4)
    )
    pixels = (planes % 256).astype(np.uint8)
    if mode == "I;16":
        return Image.fromarray((planes[..., 0] * 150).astype(np.uint16))
    if mode in ("RGBA", "CMYK"):
        return Image.frombytes(mode, (width, height), pixels.tobytes())
    rgb = Image.fromarray(np.ascontiguousarray(pixels[..., :3]))
    return rgb if mode == "RGB" else rgb.convert(mode)


def save(image: Image.Image, format_name: str, **options: Any) -> bytes:
    """The encoded file."""
    out = BytesIO()
    image.save(out, format_name, **options)
    return out.getvalue()


def _jpegs() -> Iterator[tuple[str, bytes]]:
    for sampling in ("4:4:4", "4:2:2", "4:2:0"):
        for progressive in (False, True):
            options = {"subsampling": sampling, "progressive": progressive, "quality": 85}
            yield f"jpeg {sampling} {progressive}", save(picture("RGB"), "JPEG", **options)
    tall = picture("RGB", 64, 48)
    yield "jpeg restart", save(tall, "JPEG", restart_marker_blocks=3)
    yield "jpeg rgb", save(picture("RGB"), "JPEG", keep_rgb=True)
    for mode in ("L", "CMYK"):
        for progressive in (False, True):
            yield f"jpeg {mode} {progressive}", save(picture(mode), "JPEG", progressive=progressive)
    yield "jpeg one pixel", save(picture("RGB", 1, 1), "JPEG")
    yield "jpeg larger than a portion", save(picture("RGB", 700, 500), "JPEG", quality=97)
    yield "jpeg trailing bytes", save(picture("RGB"), "JPEG") + b"\0after the end" * 9
    exif = Image.Exif()
    exif[0x0112] = 6
    yield "jpeg rotated", save(picture("RGB"), "JPEG", exif=exif)


def _pngs() -> Iterator[tuple[str, bytes]]:
    for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"):
        yield f"png {mode}", save(picture(mode), "PNG")
    for bits in (1, 2, 4):
        yield f"png P {bits}", save(picture("RGB").quantize(2**bits), "PNG", bits=bits)
    yield "png P transparent index", save(picture("P"), "PNG", transparency=3)
    yield "png P transparent table", save(picture("P"), "PNG", transparency=bytes(range(200)))
    yield "png RGB transparent", save(picture("RGB"), "PNG", transparency=(1, 2, 3))
    yield "apng", save(picture("RGB"), "PNG", save_all=True, append_images=[picture("RGB").rotate(90)])


def _webps() -> Iterator[tuple[str, bytes]]:
    for mode in ("RGB", "RGBA"):
        for lossless in (False, True):
            yield f"webp {mode} {lossless}", save(picture(mode), "WEBP", lossless=lossless)
    frames = [picture("RGBA").rotate(90), picture("RGBA").rotate(180)]
    yield "webp animated", save(picture("RGBA"), "WEBP", save_all=True, append_images=frames)


@cache
def variants() -> dict[str, bytes]:
    """Every synthetic file by name."""
    return {name: data for maker in (_jpegs, _pngs, _webps) for name, data in maker()}
