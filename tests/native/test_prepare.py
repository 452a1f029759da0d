"""What packing does to images: nothing, unless asked, and then exactly what was asked."""

from __future__ import annotations

from io import BytesIO

import pytest
from PIL import Image

from engine.native import Limits, PrepareOptions, Status, ThreadPool, prepare_images
from tests.native.image_kit import assert_pixels, picture, save, variants

POOL = ThreadPool(2)


def prepare(data: bytes, options: PrepareOptions) -> bytes:
    stored, status, size = prepare_images([data], options, POOL)
    assert status.tolist() == [Status.OK]
    assert stored[0] is not None
    assert Image.open(BytesIO(stored[0])).size == tuple(size[0])
    return stored[0]


@pytest.mark.parametrize(
    "options", [PrepareOptions(), PrepareOptions(check="header"), PrepareOptions(resize_shorter=500)]
)
def test_images_are_kept_byte_for_byte(options: PrepareOptions) -> None:
    files = list(variants().values())
    stored, status, size = prepare_images(files, options, POOL)
    assert stored == files
    assert not status.any()
    assert [tuple(s) for s in size.tolist()] == [Image.open(BytesIO(f)).size for f in files]


@pytest.mark.parametrize("sampling", ["420", "422", "444"])
@pytest.mark.parametrize("name", ["jpeg 4:4:4 False", "png RGBA", "webp RGB True", "jpeg CMYK True"])
def test_resizing_equals_pillows(name: str, sampling: str) -> None:
    options = PrepareOptions(resize_shorter=32, quality=80, subsampling=sampling)  # type: ignore[arg-type]
    stored = prepare(variants()[name], options)
    reference = (
        Image.open(BytesIO(variants()[name])).convert("RGB").resize((41, 32), Image.Resampling.BICUBIC)
    )
    encoded = save(reference, "JPEG", quality=80, subsampling=":".join(sampling), optimize=True)
    assert Image.open(BytesIO(stored)).size == (32 * 61 // 47, 32)
    assert_pixels(stored, encoded)


@pytest.mark.parametrize("name", variants())
def test_cleaning_changes_no_pixel(name: str) -> None:
    data = variants()[name]
    stored = prepare(data, PrepareOptions(lossless_clean=True))
    assert_pixels(stored, data)
    if not name.startswith("jpeg"):
        assert stored == data
    else:
        assert "progressive" not in Image.open(BytesIO(stored)).info


def test_cleaning_removes_metadata() -> None:
    exif = Image.Exif()
    exif[0x010E] = "a description " * 50
    data = save(picture("RGB"), "JPEG", exif=exif, comment=b"a comment", icc_profile=b"profile" * 99)
    stored = prepare(data, PrepareOptions(lossless_clean=True))
    assert len(stored) < len(data) - 1000
    assert not {"exif", "comment", "icc_profile"} & set(Image.open(BytesIO(stored)).info)


def test_bad_images_are_none_with_their_status() -> None:
    good = variants()["jpeg 4:2:0 False"]
    files = [good, good[:500], b"", b"GIF89a", good]
    stored, status, size = prepare_images(files, PrepareOptions(), POOL)
    assert stored == [good, None, None, None, good]
    expected = [Status.OK, Status.TRUNCATED, Status.EMPTY, Status.UNSUPPORTED_FORMAT, Status.OK]
    assert status.tolist() == expected
    assert size[1:4].tolist() == [[0, 0]] * 3
    limited = PrepareOptions(limits=Limits(max_pixels=10))
    assert prepare_images([good], limited, POOL)[1].tolist() == [Status.TOO_MANY_PIXELS]


@pytest.mark.parametrize(
    "options", [{"quality": 0}, {"check": "some"}, {"subsampling": "411"}, {"resize_shorter": -1}]
)
def test_options_are_checked(options: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(options))}: .* given, expected"):
        PrepareOptions(**options)  # type: ignore[arg-type]
