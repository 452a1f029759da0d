"""What `python -m benchmarks.decoders` says of files, and of runs."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import numpy as np
import pytest

from benchmarks.decoders import curves
from benchmarks.decoders.__main__ import main
from benchmarks.decoders.forms import form_of, why_not_given
from benchmarks.images import read_images
from engine.errors import UserError
from tests.loaders.dali_kit import FORMS, LEAST_DB, encode, photo
from tests.native.jpeg_kit import irregular

NAMES = {
    "jpeg": "JPEG 4:2:0",
    "progressive": "JPEG progressive",
    "grey": "JPEG grey",
    "444": "JPEG 4:4:4",
    "png": "PNG",
    "webp": "WEBP",
    "cmyk": "JPEG CMYK",
}


def hurt(jpeg: bytes) -> bytes:
    """A second beginning amid the coded data: our own core refuses it, DALI fills up with grey."""
    return jpeg[:-40] + b"\xff\xd8" + jpeg[-40:]


@pytest.fixture
def files(tmp_path: Path) -> dict[str, bytes]:
    rng = np.random.default_rng(2)
    found = {f"{form}.file": encode(photo(rng, 60, 47), form) for form in FORMS}
    folder = tmp_path / "photos"
    folder.mkdir()
    for name, data in {**found, "text.txt": b"no image", "hurt": hurt(found["jpeg.file"])}.items():
        (folder / name).write_bytes(data)
    return found


def test_forms(files: dict[str, bytes]) -> None:
    assert {name: form_of(data) for name, data in files.items()} == {
        f"{form}.file": name for form, name in NAMES.items()
    }
    assert form_of(b"no image") == "unknown"
    jpeg = files["jpeg.file"]
    assert why_not_given(jpeg + b"\0", "JPEG 4:2:0") == "not ended by its end-of-image marker"
    assert why_not_given(jpeg, "JPEG 4:2:0") == "a very small crop"
    assert why_not_given(irregular()["16-bit steps"], "JPEG 4:2:0") == "irregular headers"
    assert why_not_given(files["cmyk.file"], "JPEG CMYK") == "CMYK"


def test_tars_folders_and_files_hold_the_same_images(tmp_path: Path, files: dict[str, bytes]) -> None:
    folder = tmp_path / "photos"
    with tarfile.open(tmp_path / "pairs.tar", "w") as tar:
        for name in files:
            tar.add(folder / name, f"{name.partition('.')[0]}.jpg")
    in_folder = {named.name: named.data for named in read_images([folder])}
    assert in_folder == {
        **{f"photos/{name}": data for name, data in files.items()},
        "photos/hurt": hurt(files["jpeg.file"]),
        "photos/text.txt": b"no image",
    }
    in_tar = [named.data for named in read_images([tmp_path / "pairs.tar"])]
    assert sorted(in_tar) == sorted(files.values())
    assert len(read_images([folder, tmp_path / "pairs.tar"], 3)) == 6
    with pytest.raises(UserError, match="no such file or folder"):
        read_images([tmp_path / "nothing"])


def test_the_command(tmp_path: Path, files: dict[str, bytes], capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("nvidia.dali")
    out = tmp_path / "out.json"
    assert main([str(tmp_path / "photos"), "--size", "32", "--threads", "1", "--json", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "Left to our own core, and why: CMYK: 1; PNG: 1; WEBP: 1." in printed
    assert "Refused by our own core: 2 of 9 files." in printed
    assert "Of these decoded by DALI: photos/hurt." in printed
    for scale in json.loads(out.read_text())["scales"].values():
        rows = {row["form"]: row for row in scale["rows"]}
        assert sorted(rows) == sorted(NAMES.values())
        for form, row in rows.items():
            assert row["images"] == 1
            if row["left"]:
                assert form in ("PNG", "WEBP", "JPEG CMYK")
                assert (row["largest"], row["psnr_min"]) == (0, None)
            else:
                assert LEAST_DB <= row["psnr_min"] < 100
    (tmp_path / "photos" / "text.txt").rename(tmp_path / "text.txt")
    assert main([str(tmp_path / "text.txt")]) == 1
    assert "none of which can be decoded" in capsys.readouterr().err


def write_run(folder: Path, decoder: str, seed: int, loss: float) -> Path:
    folder.mkdir()
    (folder / "config.yaml").write_text(
        f"run_name: {folder.name}\nseed: {seed}\ndata: {{decoder: {decoder}}}\n"
    )
    lines = [
        {"step": step, "time": float(step), curves.RATE: 100.0,
         **{f"metrics/retrieval/loss/{name}": loss / step for name in "ab"},
         **{f"metrics/retrieval/{way}_r@10": 0.1 * step for way in ("image_to_text", "text_to_image")}}
        for step in (1, 2)
    ]  # fmt: skip
    (folder / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def test_curves_of_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [
        str(write_run(tmp_path / f"{decoder}{seed}", decoder, seed, 4 + 0.2 * at + seed))
        for at, decoder in enumerate(("native", "dali"))
        for seed in (1, 2)
    ]
    assert curves.main([*runs, "--chart", str(tmp_path / "chart.svg")]) == 0
    table = capsys.readouterr().out
    assert "| held-out loss | 2.7500 | 2.8500 | +0.1000, +0.1000 | 0.3536 and 0.3536 |" in table
    assert "| mean R@10 | 0.2000 | 0.2000 |" in table
    assert (tmp_path / "chart.svg").stat().st_size > 1000
    assert curves.main(runs[:3]) == 1
    assert "expected the same seeds" in capsys.readouterr().err
