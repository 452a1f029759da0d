"""Laws of the batch calls: failures stay in their slot, threads change nothing, arguments are checked."""

from __future__ import annotations

import io
import multiprocessing
import threading

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from engine import native

SIZE = 32
POOL = native.ThreadPool(2)


def jpeg(seed: int, width: int = 60, height: int = 50) -> bytes:
    rng = np.random.default_rng(seed)
    file = io.BytesIO()
    Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8)).save(file, "jpeg")
    return file.getvalue()


IMAGES = [jpeg(seed, 40 + seed, 90 - seed) for seed in range(24)]
BOXES = np.array([[1, 2, 30, 40]] * len(IMAGES), dtype=np.int32)


def empty(n: int) -> NDArray[np.uint8]:
    return np.full((n, 3, SIZE, SIZE), 99, dtype=np.uint8)


def train(images: list[bytes], boxes: NDArray[np.int32], pool: native.ThreadPool = POOL) -> NDArray[np.uint8]:
    out = empty(len(images))
    assert not native.train_batch(images, boxes, out, pool).any()
    return out


def test_result_is_independent_of_threads_and_batches() -> None:
    expected = train(IMAGES, BOXES, native.ThreadPool(1))
    for threads in (2, 3, 16):
        assert np.array_equal(train(IMAGES, BOXES, native.ThreadPool(threads)), expected)
    singly = [train([image], BOXES[:1])[0] for image in IMAGES]
    assert np.array_equal(np.stack(singly), expected)
    view = native.ColumnView(IMAGES)
    out = empty(len(IMAGES))
    native.train_batch(view, BOXES, out, POOL)
    assert np.array_equal(out, expected)


def test_bad_images_harm_only_their_slot() -> None:
    bad = {3: b"", 5: b"GIF89a" + bytes(50), 9: IMAGES[9][:300], 20: b"\xff\xd8\xff" + bytes(10)}
    images = [bad.get(i, image) for i, image in enumerate(IMAGES)]
    expected = train(IMAGES, BOXES)
    out, eval_out = empty(len(images)), empty(len(images))
    status = native.train_batch(images, BOXES, out, POOL)
    eval_status = native.eval_batch(images, eval_out, POOL)
    assert np.flatnonzero(status).tolist() == sorted(bad)
    assert status.tolist() == eval_status.tolist()
    assert status[3] == native.Status.EMPTY
    assert status[5] == native.Status.UNSUPPORTED_FORMAT
    for i in range(len(images)):
        assert np.array_equal(out[i], np.zeros_like(out[i]) if i in bad else expected[i])
        assert eval_out[i].any() == (i not in bad)


@pytest.mark.parametrize(
    "box",
    [
        *[
            (-1, 0, 5, 5),
            (0, -1, 5, 5),
            (0, 0, 0, 5),
            (0, 0, 5, 0),
            (0, 0, 41, 5),
            (36, 0, 5, 5),
            (0, 86, 5, 5),
        ],
        *[(2**31 - 1, 0, 2**31 - 1, 5), (0, 0, -(2**31), 5), (5, 5, 2**31 - 1, 2**31 - 1)],
    ],
)
def test_boxes_outside_the_image_are_bad_arguments(box: tuple[int, int, int, int]) -> None:
    boxes = BOXES.copy()
    boxes[0] = box  # image 0 has 40 x 90 pixels
    out = empty(len(IMAGES))
    status = native.train_batch(IMAGES, boxes, out, POOL)
    assert np.flatnonzero(status).tolist() == [0]
    assert status[0] == native.Status.BAD_ARGUMENT
    assert not out[0].any()


def test_limits_are_kept() -> None:
    out = empty(len(IMAGES))
    status = native.eval_batch(IMAGES, out, POOL, limits=native.Limits(max_side=70))
    assert [s == native.Status.SIDE_TOO_LARGE for s in status] == [90 - i > 70 for i in range(len(IMAGES))]


def test_empty_batch() -> None:
    none = np.empty((0, 4), dtype=np.int32)
    assert native.train_batch([], none, np.empty((0, 3, 8, 8), np.uint8), POOL).shape == (0,)


def test_wrong_arrays_are_told_before_anything_is_written() -> None:
    two, boxes = IMAGES[:2], BOXES[:2]
    read_only = empty(2)
    read_only.flags.writeable = False
    cases: list[tuple[object, type[Exception], str]] = [
        (np.zeros((2, 3, 8, 8), np.float32), TypeError, "dtype float32 given, expected uint8"),
        (np.zeros((3, 3, 8, 8), np.uint8), ValueError, r"expected \[2, 3, S, S\]"),
        (np.zeros((2, 3, 8, 9), np.uint8), ValueError, r"expected \[2, 3, S, S\]"),
        (np.zeros((2, 8, 8, 3), np.uint8), ValueError, r"expected \[2, 3, S, S\]"),
        (np.zeros((2, 3, 0, 0), np.uint8), ValueError, r"expected \[2, 3, S, S\]"),
        (np.zeros((2, 3, 8, 16), np.uint8)[:, :, :, ::2], ValueError, "contiguous"),
        (read_only, ValueError, "writable"),
    ]
    for out, error, message in cases:
        with pytest.raises(error, match=message):
            native.train_batch(two, boxes, out, POOL)  # type: ignore[arg-type]
        with pytest.raises(error, match=message):
            native.eval_batch(two, out, POOL)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        native.train_batch(two, boxes.astype(np.int64), empty(2), POOL)
    with pytest.raises(ValueError, match=r"boxes: shape .* expected \[2, 4\]"):
        native.train_batch(two, BOXES[:3], empty(2), POOL)
    with pytest.raises(
        ValueError, match="dtype: 'int8' given, expected 'uint8', 'float32', 'bfloat16' or 'float16'"
    ):
        native.eval_batch(two, empty(2), POOL, dtype="int8")
    with pytest.raises(ValueError, match="std not zero"):
        native.eval_batch(two, empty(2), POOL, std=(1.0, 0.0, 1.0))


def test_one_pool_serves_many_python_threads() -> None:
    expected = train(IMAGES, BOXES)
    results: list[NDArray[np.uint8]] = []
    callers = [threading.Thread(target=lambda: results.append(train(IMAGES, BOXES))) for _ in range(6)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert len(results) == 6
    assert all(np.array_equal(result, expected) for result in results)


def _digest(_: int) -> bytes:
    return train(IMAGES, BOXES).tobytes()


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_used_pool_works_in_a_forked_child() -> None:
    """Data loader workers are forked from a process whose pool may have run already."""
    expected = _digest(0)
    with multiprocessing.get_context("fork").Pool(2) as children:
        results = children.map_async(_digest, range(4)).get(timeout=60)
    assert results == [expected] * 4
