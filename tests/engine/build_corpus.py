"""Small inputs for the build's tests: webdataset tars with real JPEG files, some of them odd."""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from engine.build.budget import Budget
from engine.build.options import BuildOptions, ImageOptions, PackOptions
from engine.build.run import Result, RunOptions, build
from engine.sources import Source, SourceOptions, Unit, open_source

REPOSITORY = Path(__file__).resolve().parents[2]
SAMPLES_PER_TAR = 30


def jpeg(seed: int, side: int = 48) -> bytes:
    """A JPEG file that no other seed gives."""
    image = Image.linear_gradient("L").resize((side, side + seed % 7)).rotate(seed * 37 % 360)
    stream = io.BytesIO()
    Image.merge("RGB", (image, image.transpose(Image.Transpose.ROTATE_180), image)).save(stream, "JPEG")
    return stream.getvalue()


def write_tar(path: Path, samples: Sequence[tuple[str, bytes, str]]) -> None:
    """A tar of (key, image, caption); members carry no times, so the same samples give the same bytes."""
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as archive:
        for key, image, caption in samples:
            for name, data in ((f"{key}.jpg", image), (f"{key}.txt", caption.encode())):
                member = tarfile.TarInfo(name)
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))


def make_tars(folder: Path, tars: int = 4, samples: int = SAMPLES_PER_TAR) -> Path:
    """Tars in which sample 3 is cut off, 4 has no caption, 5 repeats 0, 7 repeats one of the first tar."""
    folder.mkdir(parents=True, exist_ok=True)
    for tar in range(tars):
        rows = []
        for at in range(samples):
            seed = tar * samples + at
            key, image, caption = f"k{tar}-{at}", jpeg(seed), f"picture number {seed} of a gradient"
            if at == 3:
                image = image[: len(image) // 2]
            if at == 4:
                caption = "  "
            if at == 5:
                key = f"sub/k{tar}-0"
            if at == 7 and tar > 0:
                key = "k0-7"
            rows.append((key, image, caption))
        rows = [(key.removeprefix("sub/") if at == 5 else key, *rest) for at, (key, *rest) in enumerate(rows)]
        write_tar(folder / f"{tar:05d}.tar", rows)
    return folder


def options_for(folder: Path, **image: Any) -> BuildOptions:
    """Options that give several shards a unit."""
    source = SourceOptions(inputs=(str(folder / "*.tar"),))
    return BuildOptions(source, image=ImageOptions(**image), pack=PackOptions(size_limit=20_000))


def build_dataset(
    folder: Path, out: Path, workers: int = 1, budget: Budget | None = None, **image: Any
) -> Result:
    """Shards the tars of a folder."""
    options = options_for(folder, **image)
    return build(open_source(options.source), options, RunOptions(out, workers, budget=budget or Budget(1.0)))


def tree(folder: Path) -> dict[str, str]:
    """SHA-256 of every file by its path."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def command(module: str, *arguments: object) -> list[str]:
    """A command line of the engine."""
    return [sys.executable, "-m", f"engine.{module}", *map(str, arguments)]


def run_command(module: str, *arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs a command line of the engine to its end."""
    return subprocess.run(
        command(module, *arguments), cwd=REPOSITORY, env={**os.environ, **environment},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def shard_arguments(folder: Path, out: Path) -> list[str]:
    """The command line's counterpart of `build_dataset`."""
    return [str(folder / "*.tar"), "--out", str(out), "--size-limit", "20000", "--max-failures", "100%"]


def metadata_of(out: Path) -> Any:
    """`dataset.json`."""
    return json.loads((out / "dataset.json").read_bytes())


class FailingSource(Source):
    """A source whose second unit fails in the middle while a file exists."""

    def __init__(self, inner: Source, fuse: Path, how: str = "raise") -> None:
        """`how`: `raise` an error, or `kill` the process."""
        super().__init__(inner.assembler)
        self.inner, self.fuse, self.how = inner, fuse, how

    def units(self) -> list[Unit]:
        """Those of the real source."""
        return self.inner.units()

    def read(self, unit: Unit) -> Iterator[Any]:
        """Those of the real source, as far as it goes."""
        for at, item in enumerate(self.inner.read(unit)):
            if at == 10 and unit.name.startswith("00001") and self.fuse.exists():
                if self.how == "kill":
                    os.kill(os.getpid(), 9)
                raise RuntimeError("the fuse blew")
            yield item
