"""The side-by-side benchmark: its rows, its exactness column, what it does without a peer, its chart."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.loader import __main__ as bench
from benchmarks.loader import chart, exact, rounds
from benchmarks.loader.data import make_small, write_files
from benchmarks.loader.peers import BY_NAME, Peer, ours
from benchmarks.loader.work import Folders, Work

FIELDS = {
    "peer",
    "input",
    "level",
    "output",
    "threads",
    "images_per_s",
    "ratio",
    "ratio_min",
    "ratio_max",
} | {
    "max_diff",
    "cpu_s_per_1000",
    "cpu_ratio",
    "peak_mb",
    "first_batch_s",
}


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six JPEG files with structure in them."""
    folder = tmp_path_factory.mktemp("images")
    for number in range(6):
        noise = np.random.default_rng(number).integers(0, 256, (30, 40, 3), np.uint8)
        picture = Image.fromarray(noise).resize((400 + 10 * number, 300), Image.Resampling.BICUBIC)
        picture.save(folder / f"{number}.jpg", quality=90)
    return folder


def quick(images: Path, tmp_path: Path, *more: str) -> list[rounds.Row]:
    path = tmp_path / "rows.json"
    arguments = ["--images", str(images), "--json", str(path), "--work", str(tmp_path), "--limit", "6"]
    arguments += ["--rounds", "2", "--seconds", "0.1", "--batch", "4", *more]
    assert bench.main(arguments) == 0
    rows: list[rounds.Row] = json.loads(path.read_text())
    return rows


def test_kernels_give_rows_with_ratios_and_differences(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = quick(images, tmp_path, "--levels", "kernel", "--inputs", "small", "--peers", "torchvision")
    assert [(row["peer"], row["output"]) for row in rows] == [
        ("ours", "float32"),
        ("torchvision", "float32"),
        ("ours", "uint8"),
        ("torchvision", "uint8"),
    ]
    for row in rows:
        assert row.keys() == FIELDS
        assert (row["level"], row["input"], row["threads"]) == ("kernel", "small", 1)
        assert 0 < row["ratio_min"] <= row["ratio"] <= row["ratio_max"]
        assert row["images_per_s"] > 0
        assert row["cpu_s_per_1000"] > 0
    assert all((row["max_diff"] == 0) == (row["peer"] == "ours") for row in rows)
    assert "torchvision v2" in capsys.readouterr().out
    chart.draw(rows, tmp_path / "chart.svg")
    assert "torchvision v2, uint8" in (tmp_path / "chart.svg").read_text()


@pytest.mark.slow
def test_the_whole_loader_is_measured_beside_a_peer(images: Path, tmp_path: Path) -> None:
    rows = quick(
        images,
        tmp_path,
        *(
            "--levels",
            "loader",
            "--inputs",
            "small",
            "--threads",
            "2",
            "--peers",
            "torchvision",
            "our_kernel",
        ),
    )
    assert [row["peer"] for row in rows] == ["ours", "torchvision", "our_kernel"] * 2
    assert all(row["images_per_s"] > 0 and row["peak_mb"] > 0 and row["first_batch_s"] > 0 for row in rows)


def test_a_peer_that_is_missing_is_skipped_with_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    absent = Peer("absent", "Absent", "absent", ("no_such_package.part",), kernel=("uint8",))
    monkeypatch.setattr(bench, "PEERS", (absent, BY_NAME["our_kernel"]))
    assert [peer.name for peer in bench.installed(["absent", "our_kernel"])] == ["our_kernel"]
    line = capsys.readouterr().err
    assert "absent: skipped, no_such_package.part is not installed" in line
    assert "veclip-engine[bench]" in line


def test_one_wrong_bit_is_a_difference(images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders = Folders(tmp_path / "data")
    write_files(folders, [make_small(path.read_bytes()) for path in sorted(images.iterdir())], 1)
    exact.write_reference(folders)
    assert exact.largest_difference(ours, folders, "float32") == 0
    right = ours.crop

    def wrong(output: str, data: list[bytes], boxes: exact.Boxes) -> exact.Array:
        pixels = right(output, data, boxes)
        pixels[0, 0, 0, 0] = np.nextafter(pixels[0, 0, 0, 0], np.float32(9))
        return pixels

    monkeypatch.setattr(ours, "crop", wrong)
    assert 0 < exact.largest_difference(ours, folders, "float32") <= 0.001


def test_a_ratio_is_ours_over_theirs_of_the_same_turn() -> None:
    def turn(images: float) -> dict[str, float]:
        return {"images": images, "seconds": 2.0, "cpu_s": 1.0}

    class Never:
        pass

    ready = {"max_diff": 0.0, "first_batch_s": 0.5}
    turns = rounds.Turns(Never(), ready, [turn(100), turn(10)], [turn(300), turn(40)])  # type: ignore[arg-type]
    work = Work("", "ours", "loader", "uint8", 2, 64, (0, 1))
    (row,) = rounds.rows_of_cell(work, "small", {"torchvision": turns})
    assert (row["ratio_min"], row["ratio"], row["ratio_max"]) == (3.0, 3.5, 4.0)
    assert row["images_per_s"] == 27.5


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="no JPEG files"):
        bench.main(["--images", str(tmp_path), "--peers", "our_kernel"])
