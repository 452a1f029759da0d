"""The training and the evaluation transform against torchvision on PIL images, all output types."""

from __future__ import annotations

import io

import numpy as np
import PIL
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from engine import native

torch = pytest.importorskip("torch")
transforms = pytest.importorskip("torchvision.transforms")
F = pytest.importorskip("torchvision.transforms.functional")

BICUBIC = transforms.InterpolationMode.BICUBIC
ORDER = "pillow13" if int(PIL.__version__.split(".")[0]) >= 13 else "pillow11"
MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)
STORAGE = {"uint8": np.uint8, "float32": np.float32, "bfloat16": np.uint16, "float16": np.uint16}
POOL = native.ThreadPool(1)
SIDE = st.one_of(st.integers(1, 64), st.integers(1, 500))


def noise(width: int, height: int) -> Image.Image:
    rng = np.random.default_rng(width * 1000 + height)
    return Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))


def png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "png", compress_level=0)
    return file.getvalue()


def slot(size: int, dtype: str) -> NDArray[np.generic]:
    return np.full((1, 3, size, size), 77, dtype=STORAGE[dtype])


def reference(image: Image.Image, dtype: str) -> NDArray[np.generic]:
    """What open_clip's tail (ToTensor, Normalize) makes of a finished crop; uint8 as CHW."""
    if dtype == "uint8":
        return np.asarray(image).transpose(2, 0, 1)
    tensor = transforms.Normalize(MEAN, STD)(transforms.ToTensor()(image))
    if dtype == "float32":
        return np.asarray(tensor.numpy())
    return half(tensor, dtype)


def half(floats: torch.Tensor, dtype: str) -> NDArray[np.uint16]:
    """Bit patterns of torch's own conversion."""
    return np.asarray(floats.to(getattr(torch, dtype)).view(torch.int16).numpy().view(np.uint16))


def train(image: Image.Image, box: tuple[int, int, int, int], size: int, dtype: str) -> NDArray[np.generic]:
    out = slot(size, dtype)
    boxes = np.array([box], dtype=np.int32)
    status = native.train_batch([png(image)], boxes, out, POOL, dtype=dtype, pass_order=ORDER)  # type: ignore[arg-type]
    assert status.tolist() == [native.Status.OK]
    return np.asarray(out[0])


def evaluate(image: Image.Image, size: int, dtype: str = "uint8") -> NDArray[np.generic]:
    out = slot(size, dtype)
    status = native.eval_batch([png(image)], out, POOL, dtype=dtype, pass_order=ORDER)  # type: ignore[arg-type]
    assert status.tolist() == [native.Status.OK]
    return np.asarray(out[0])


@settings(max_examples=60, deadline=None)
@given(st.data(), SIDE, SIDE, st.integers(1, 300), st.sampled_from(sorted(STORAGE)))
def test_train_equals_torchvision(data: st.DataObject, w: int, h: int, size: int, dtype: str) -> None:
    box_w, box_h = data.draw(st.integers(1, w)), data.draw(st.integers(1, h))
    left, top = data.draw(st.integers(0, w - box_w)), data.draw(st.integers(0, h - box_h))
    image = noise(w, h)
    expected = F.resized_crop(image, top, left, box_h, box_w, [size, size], BICUBIC)
    assert np.array_equal(train(image, (left, top, box_w, box_h), size, dtype), reference(expected, dtype))


@settings(max_examples=60, deadline=None)
@given(SIDE, SIDE, st.integers(1, 300), st.sampled_from(sorted(STORAGE)))
def test_eval_equals_torchvision(w: int, h: int, size: int, dtype: str) -> None:
    assume(size * max(w, h) // min(w, h) <= 20_000)  # torchvision makes the whole long side
    image = noise(w, h)
    expected = transforms.CenterCrop(size)(transforms.Resize(size, BICUBIC)(image))
    assert np.array_equal(evaluate(image, size, dtype), reference(expected, dtype))


@pytest.mark.parametrize(
    "size", [(224, 224), (224, 301), (303, 224), (224, 227), (500, 375), (1, 90), (90, 1), (1, 1)]
)
def test_eval_at_the_edges(size: tuple[int, int]) -> None:
    """Nothing to resize, odd margins (halves round to even), upscaling, one pixel wide."""
    image = noise(*size)
    expected = transforms.CenterCrop(224)(transforms.Resize(224, BICUBIC)(image))
    assert np.array_equal(evaluate(image, 224), reference(expected, "uint8"))


SIZES = [(224, 224), (224, 227), (303, 224), (640, 427), (427, 643), (50, 71), (1, 90)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", ["bicubic", "bilinear"])
@pytest.mark.parametrize("as_jpeg", [False, True])
def test_other_fits_and_filters(size: tuple[int, int], name: str, as_jpeg: bool) -> None:
    """A larger shorter side, both sides squeezed, transformers' rounding; also of files decoded in rows."""
    mode = transforms.InterpolationMode(name)
    file = io.BytesIO()
    noise(*size).save(file, "jpeg" if as_jpeg else "png")
    image = Image.open(file).convert("RGB")

    def got(**options: object) -> NDArray[np.uint8]:
        out = slot(64, "uint8")
        status = native.eval_batch([file.getvalue()], out, POOL, pass_order=ORDER, filter=name, **options)  # type: ignore[arg-type]
        assert status.tolist() == [native.Status.OK]
        return np.asarray(out[0], np.uint8)

    def wanted(image: Image.Image) -> NDArray[np.uint8]:
        return np.asarray(image).transpose(2, 0, 1)

    resized = transforms.Resize(73, mode)(image)
    assert np.array_equal(got(shorter=73), wanted(transforms.CenterCrop(64)(resized)))
    assert np.array_equal(got(fit="squash"), wanted(transforms.Resize((64, 64), mode)(image)))
    left, top = (resized.width - 64) // 2, (resized.height - 64) // 2
    assert np.array_equal(
        got(fit="transformers", shorter=73), wanted(resized.crop((left, top, left + 64, top + 64)))
    )


@pytest.mark.parametrize("options", [{"fit": "stretch"}, {"filter": "box"}, {"shorter": 15}, {"shorter": -1}])
def test_a_fit_that_means_nothing_is_refused(options: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        native.eval_batch([png(noise(20, 20))], slot(16, "uint8"), POOL, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [(1, 16_384), (16_384, 1)])
def test_a_thread_of_pixels_costs_no_memory(size: tuple[int, int]) -> None:
    """torchvision would make 224 x 3,670,016 pixels and keep 224 x 224 of them."""
    colour = (10, 200, 30)
    got = evaluate(Image.new("RGB", size, colour), 224)
    assert (got == np.array(colour, dtype=np.uint8)[:, None, None]).all()


RAMP = Image.fromarray(np.repeat(np.arange(256, dtype=np.uint8).reshape(16, 16, 1), 3, axis=2))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_every_value_normalises_as_torch_does(dtype: str) -> None:
    assert np.array_equal(evaluate(RAMP, 16, dtype), reference(RAMP, dtype))


def test_other_constants() -> None:
    image, out = noise(20, 20), slot(20, "float32")
    native.eval_batch([png(image)], out, POOL, dtype="float32", mean=(0.1, 0.2, 0.3), std=(3.0, 1e-3, 0.7))  # type: ignore[arg-type]
    expected = transforms.Normalize((0.1, 0.2, 0.3), (3.0, 1e-3, 0.7))(transforms.ToTensor()(image))
    assert np.array_equal(out[0], expected.numpy())


Triple = tuple[float, float, float]
CONSTANT = st.builds(
    lambda sign, digits, power: sign * digits * 10.0**power,
    st.sampled_from([-1, 1]),
    st.floats(1, 10),
    st.integers(-9, 9),
)


@settings(max_examples=60, deadline=None)
@given(st.tuples(CONSTANT, CONSTANT, CONSTANT), st.tuples(CONSTANT, CONSTANT, CONSTANT))
@example((0.5, 0.5, 0.5), (1e-6, 1e5, 1e9))  # to infinity, subnormal, zeros of both signs
@example(
    (-2048 / 255, 2304 / 255, 0.0), (1 / 255, 1 / 255, 2**25 / 255)
)  # halfway for float16: 2049, -2049, 2^-25
def test_16_bit_floats_are_torchs_of_the_float32(mean: Triple, std: Triple) -> None:
    """Any constants, so any magnitude; by every fit, which covers both of the ways to convert."""
    files = [png(noise(23, 31)), png(RAMP)]
    for fit in ("torchvision", "tensorflow"):
        found = {}
        for dtype in ("float32", "bfloat16", "float16"):
            found[dtype] = np.zeros((2, 3, 16, 16), STORAGE[dtype])
            native.eval_batch(files, found[dtype], POOL, dtype=dtype, mean=mean, std=std, fit=fit)
        for dtype in ("bfloat16", "float16"):
            assert np.array_equal(found[dtype], half(torch.from_numpy(found["float32"]), dtype))


@pytest.mark.parametrize("simd", native.simd_names())
@pytest.mark.parametrize("order", ["pillow11", "pillow13"])
def test_instruction_sets_agree_on_windows(simd: str, order: str) -> None:
    """Evaluation computes only what the crop needs; a whole resize, cut afterwards, is the judge."""
    for width, height in [(640, 427), (427, 640), (200, 1000), (1500, 300), (224, 900)]:
        image = noise(width, height)
        out = slot(64, "uint8")
        native.set_simd(simd)
        native.eval_batch([png(image)], out, POOL, pass_order=order)  # type: ignore[arg-type]
        native.set_simd("auto")
        long_side = int(64 * max(width, height) / min(width, height))
        new_w, new_h = (long_side, 64) if width > height else (64, long_side)
        whole = native.resize_rgb(np.asarray(image), new_w, new_h, order)
        top, left = round((new_h - 64) / 2), round((new_w - 64) / 2)
        assert np.array_equal(out[0], whole[top : top + 64, left : left + 64].transpose(2, 0, 1))
