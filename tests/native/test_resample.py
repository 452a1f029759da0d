"""resize_rgb against Pillow and an independent reference, in both pass orders and all instruction sets."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import PIL
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from engine import native
from tests.native import resample_reference

INSTALLED_ORDER = "pillow13" if int(PIL.__version__.split(".")[0]) >= 13 else "pillow11"
ORDERS = ["pillow11", "pillow13"]
SIDE = st.one_of(st.integers(1, 40), st.integers(1, 700))


@pytest.fixture(params=native.simd_names())
def simd(request: pytest.FixtureRequest) -> Iterator[str]:
    native.set_simd(request.param)
    yield request.param
    native.set_simd("auto")


def noise(width: int, height: int, seed: int = 0, *, extreme: bool = False) -> NDArray[np.uint8]:
    """Random pixels; black or white only if `extreme`, which drives sums past both ends of 8 bits."""
    values = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return np.where(values > 127, np.uint8(255), np.uint8(0)) if extreme else values


def pillow(image: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC))


@settings(max_examples=100, deadline=None)
@given(SIDE, SIDE, SIDE, SIDE, st.booleans(), st.integers(0, 2**31))
def test_equals_pillow(w: int, h: int, out_w: int, out_h: int, extreme: bool, seed: int) -> None:
    image = noise(w, h, seed, extreme=extreme)
    expected = pillow(image, out_w, out_h)
    for name in native.simd_names():
        native.set_simd(name)
        got = native.resize_rgb(image, out_w, out_h, INSTALLED_ORDER)
        assert np.array_equal(got, expected), name
    native.set_simd("auto")


CASES = [  # width, height, out_width, out_height
    (500, 375, 224, 224),
    (375, 500, 224, 224),
    (224, 224, 224, 224),
    (224, 300, 224, 224),
    (300, 224, 224, 224),
    (1, 1, 224, 224),
    (1, 700, 16, 16),
    (700, 1, 16, 16),
    (2, 3, 97, 55),
    (3, 40, 3, 7),
    (260, 900, 224, 224),  # many rows go, few columns: vertical first in Pillow 13
    (2600, 40, 9, 33),  # wider windows than one vector register pair holds
    (4000, 30, 17, 3),  # wider than four pairs hold
    (640, 480, 1, 1),
    (21, 21, 2, 2),
    (77, 50, 33, 31),  # no multiple of any vector length
]


@pytest.mark.parametrize("size", CASES, ids=str)
@pytest.mark.parametrize("order", ORDERS)
def test_equals_reference(size: tuple[int, int, int, int], order: str, simd: str) -> None:
    image = noise(size[0], size[1], extreme=True)
    expected = resample_reference.resize(image, size[2], size[3], order)
    assert np.array_equal(native.resize_rgb(image, size[2], size[3], order), expected)


@pytest.mark.parametrize("size", CASES, ids=str)
def test_reference_equals_pillow(size: tuple[int, int, int, int]) -> None:
    image = noise(size[0], size[1])
    expected = pillow(image, size[2], size[3])
    assert np.array_equal(resample_reference.resize(image, size[2], size[3], INSTALLED_ORDER), expected)


def test_the_orders_differ_where_they_should() -> None:
    tall, wide = noise(260, 900, extreme=True), noise(900, 260, extreme=True)
    for image, equal in ((tall, False), (wide, True)):
        first, second = (native.resize_rgb(image, 224, 224, order) for order in ORDERS)
        assert np.array_equal(first, second) == equal


@settings(max_examples=60, deadline=None)
@given(SIDE, SIDE, SIDE, SIDE, st.sampled_from(ORDERS))
def test_instruction_sets_agree(w: int, h: int, out_w: int, out_h: int, order: str) -> None:
    image = noise(w, h, w * h)
    results = []
    for name in native.simd_names():
        native.set_simd(name)
        results.append(native.resize_rgb(image, out_w, out_h, order))
    native.set_simd("auto")
    assert all(np.array_equal(results[0], other) for other in results[1:])


def test_bad_arguments_are_told() -> None:
    image = noise(8, 8)
    with pytest.raises(native.NativeError, match="bad_argument"):
        native.resize_rgb(image, 0, 5)
    with pytest.raises(ValueError, match="pass_order: 'pillow12' given"):
        native.resize_rgb(image, 5, 5, "pillow12")
    with pytest.raises(ValueError, match=r"expected uint8 \[height, width, 3\]"):
        native.resize_rgb(image[:, :, 0].copy(), 5, 5)
    with pytest.raises(ValueError, match="simd: 'mmx' given"):
        native.set_simd("mmx")


PILLOW_13_SIZES = """
import sys; sys.path.insert(0, sys.argv[1])
import numpy as np, PIL; from PIL import Image
assert PIL.__version__.startswith("13."), PIL.__version__
rng = np.random.default_rng(13)
for i in range(200):
    w, h, out_w, out_h = (int(v) for v in rng.integers(1, 400, 4))
    image = rng.integers(0, 256, (h, w, 3), dtype=np.uint8)
    result = np.asarray(Image.fromarray(image).resize((out_w, out_h), Image.Resampling.BICUBIC))
    np.savez(f"{sys.argv[1]}/{i}.npz", image=image, result=result)
"""


@pytest.mark.slow
def test_equals_a_real_pillow_13(tmp_path: Path) -> None:
    install = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "-q",
        "--no-deps",
        "--target",
        str(tmp_path),
        "pillow==13.*",
    ]
    if subprocess.run(install, capture_output=True, timeout=120).returncode != 0:
        pytest.skip("Pillow 13 could not be installed")
    subprocess.run([sys.executable, "-c", PILLOW_13_SIZES, str(tmp_path)], check=True, timeout=120)
    files = sorted(tmp_path.glob("*.npz"))
    assert len(files) == 200
    for file in files:
        with np.load(file) as pair:
            height, width = pair["result"].shape[:2]
            assert np.array_equal(native.resize_rgb(pair["image"], width, height, "pillow13"), pair["result"])
