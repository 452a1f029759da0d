"""Images for DALI: smooth ones, as photographs are, in every form that a data set may hold."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tests.loaders.corpus import Sample, make_samples

FORMS = ("jpeg", "progressive", "grey", "444", "png", "webp", "cmyk")
# What DALI is not given.
ODD_FORMS = ("png", "webp", "cmyk")
# What the project asks of every ordinary image; docs/results/dali.md has the measured values.
LEAST_DB = 38.0


def photo(rng: np.random.Generator, width: int, height: int) -> Image.Image:
    """Waves and blocks of colour."""
    small = rng.integers(0, 256, (height // 16 + 2, width // 16 + 2, 3), np.uint8)
    image = Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)
    colour = Image.fromarray(rng.integers(0, 256, (1, 1, 3), np.uint8))
    block = colour.resize((max(1, width // 4), max(1, height // 4)))
    image.paste(block, (width // 3, height // 3))
    return image


def encode(image: Image.Image, form: str) -> bytes:
    """Return the file of an image in one of FORMS."""
    file = io.BytesIO()
    if form in ("png", "webp"):
        image.save(file, form, **({"lossless": True} if form == "webp" else {}))
    else:
        mode = {"grey": "L", "cmyk": "CMYK"}.get(form, "RGB")
        sampling = {"subsampling": 0} if form == "444" else {}
        image.convert(mode).save(file, "JPEG", quality=90, progressive=form == "progressive", **sampling)
    return file.getvalue()


def samples_of(forms: list[str]) -> list[Sample]:
    """Samples whose images have these forms, and sizes of their own."""
    rng = np.random.default_rng(5)
    return [
        replace(sample, image=encode(photo(rng, 90 + 7 * (i % 9), 80 + 11 * (i % 7)), form))
        for i, (sample, form) in enumerate(zip(make_samples(len(forms)), forms, strict=True))
    ]


def psnr(found: NDArray[np.uint8], wanted: NDArray[np.uint8]) -> float:
    """Peak signal-to-noise ratio in dB: 10 log10(255^2 / mean squared difference)."""
    error = np.mean((found.astype(np.float64) - wanted.astype(np.float64)) ** 2)
    return float(10 * np.log10(255**2 / max(error, 1e-9)))
