"""Crop boxes: C++ equals Python, the law of the boxes, and torchvision's distribution and fallback."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from engine import draws, native

CLIP_SCALE = (0.9, 1.0)
RATIO = (3 / 4, 4 / 3)
SIZE = st.integers(1, 2000)


def boxes(size: tuple[int, int], n: int, scale: tuple[float, float], epoch: int = 0) -> NDArray[np.int32]:
    widths, heights = (np.full(n, side, dtype=np.int32) for side in size)
    hashes = np.arange(n, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    return native.crop_boxes(widths, heights, hashes, seed=5, epoch=epoch, scale=scale, ratio=RATIO)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(SIZE, SIZE, st.integers(0, 2**64 - 1)), min_size=1, max_size=20),
    st.integers(0, 2**64 - 1),
    st.integers(0, 2**32 - 1),
    st.sampled_from([CLIP_SCALE, (0.08, 1.0), (1.0, 1.0), (1e-6, 1e-4)]),
    st.sampled_from([RATIO, (1.0, 1.0), (0.1, 9.5)]),
)
def test_both_languages_agree(
    samples: list[tuple[int, int, int]],
    seed: int,
    epoch: int,
    scale: tuple[float, float],
    ratio: tuple[float, float],
) -> None:
    widths, heights = (np.array([s[i] for s in samples], dtype=np.int32) for i in range(2))
    hashes = np.array([s[2] for s in samples], dtype=np.uint64)
    law = {"seed": seed, "epoch": epoch, "scale": scale, "ratio": ratio}
    cpp = native.crop_boxes(widths, heights, hashes, **law)  # type: ignore[arg-type]
    python = draws.crop_boxes(widths, heights, hashes, **law)  # type: ignore[arg-type]
    assert np.array_equal(cpp, python)
    left, top, w, h = cpp.T
    assert (left >= 0).all()
    assert (top >= 0).all()
    assert (w >= 1).all()
    assert (h >= 1).all()
    assert (left + w <= widths).all()
    assert (top + h <= heights).all()


@pytest.mark.parametrize("scale", [CLIP_SCALE, (0.08, 1.0)])
def test_scale_and_ratio_stay_in_bounds(scale: tuple[float, float]) -> None:
    drawn = boxes((1000, 1000), 5000, scale).astype(np.float64)
    share, ratio = drawn[:, 2] * drawn[:, 3] / 1e6, drawn[:, 2] / drawn[:, 3]
    slack = 0.01  # sides are whole pixels
    assert share.min() >= scale[0] - slack
    assert share.max() <= scale[1] + slack
    accepted = share < 1
    assert ratio[accepted].min() >= RATIO[0] * (1 - slack)
    assert ratio[accepted].max() <= RATIO[1] * (1 + slack)


@pytest.mark.parametrize("size", [(600, 200), (200, 600), (640, 424), (1, 900), (900, 1), (151, 100), (3, 7)])
def test_fallback_equals_torchvision(size: tuple[int, int]) -> None:
    torch = pytest.importorskip("torch")
    transforms = pytest.importorskip("torchvision.transforms")
    image = torch.empty(3, size[1], size[0])
    # Four times the area never fits, so torchvision falls back; for these sizes the full area in an allowed
    # ratio does not fit either.
    top, left, h, w = transforms.RandomResizedCrop.get_params(image, [4.0, 4.0], list(RATIO))
    ours = boxes(size, 3, (1.0, 1.0))
    assert (ours == [left, top, w, h]).all()


@pytest.mark.parametrize(("size", "scale"), [((500, 400), CLIP_SCALE), ((300, 400), (0.08, 1.0))])
def test_distribution_agrees_with_torchvision(size: tuple[int, int], scale: tuple[float, float]) -> None:
    torch = pytest.importorskip("torch")
    transforms = pytest.importorskip("torchvision.transforms")
    n = 3000
    torch.manual_seed(0)
    image = torch.empty(1, size[1], size[0])
    theirs = np.array(
        [transforms.RandomResizedCrop.get_params(image, list(scale), list(RATIO)) for _ in range(n)]
    )
    ours = boxes(size, n, scale)
    for mine, other in zip(ours.T, theirs[:, [1, 0, 3, 2]].T, strict=True):
        values = np.unique(np.concatenate([mine, other]))
        gap = np.abs(
            np.searchsorted(np.sort(mine), values, "right") - np.searchsorted(np.sort(other), values, "right")
        )
        # Two-sample Kolmogorov-Smirnov at 1e-6; both sides are seeded, so the outcome is fixed.
        assert gap.max() / n < math.sqrt(-math.log(1e-6 / 2) / n)


def test_epochs_draw_apart_and_repeat() -> None:
    first = boxes((1000, 1000), 50, (0.08, 1.0))
    assert np.array_equal(first, boxes((1000, 1000), 50, (0.08, 1.0)))
    assert (first != boxes((1000, 1000), 50, (0.08, 1.0), epoch=1)).any(axis=1).all()


def test_sizes_that_are_unknown_give_empty_boxes() -> None:
    assert boxes((0, 100), 2, CLIP_SCALE).tolist() == [[0, 0, 0, 0]] * 2
    assert draws.crop_box((0, 100), 1, seed=0, epoch=0) == (0, 0, 0, 0)


@pytest.mark.parametrize("law", [{"scale": (0.0, 1.0)}, {"ratio": (2.0, 1.0)}, {"scale": (0.5, math.inf)}])
def test_senseless_laws_are_told(law: dict[str, tuple[float, float]]) -> None:
    one = np.ones(1, dtype=np.int32)
    with pytest.raises(ValueError, match="expected 0 < low <= high"):
        native.crop_boxes(one, one, np.ones(1, dtype=np.uint64), seed=0, epoch=0, **law)
