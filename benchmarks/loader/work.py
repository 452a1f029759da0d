"""What one measuring process is asked to do, and what all peers share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

SIZE = 224
SCALE = (0.9, 1.0)
RATIO = (3 / 4, 4 / 3)
# CLIP's own (openai/CLIP, clip.py), of RGB in 0..1.
MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)

Array = NDArray[Any]
Boxes = NDArray[np.int32]


@dataclass(frozen=True)
class Folders:
    """The same images in every peer's container, below `root`."""

    root: Path

    @property
    def unique(self) -> Path:
        """Image files, each once; what the kernels work on."""
        return self.root / "unique"

    def reference(self, output: str) -> Path:
        """Pillow's pixels of the first images, for the boxes of benchmarks.loader.exact (.npy)."""
        return self.root / f"reference_{output}.npy"

    @property
    def files(self) -> Path:
        """Image files, each repeated under other names (hard links), so that an epoch is long."""
        return self.root / "files"

    @property
    def ours(self) -> Path:
        """A data set of engine.shard."""
        return self.root / "ours"

    @property
    def ours_again(self) -> Path:
        """The same under another name: Streaming refuses to open a folder in two runs at once."""
        return self.root / "ours_again"

    @property
    def mds(self) -> Path:
        """MosaicML's MDS with an image column only."""
        return self.root / "mds"

    @property
    def tar(self) -> Path:
        """WebDataset tars."""
        return self.root / "tar"

    @property
    def litdata(self) -> Path:
        """LitData's optimised format."""
        return self.root / "litdata"

    def images(self) -> list[bytes]:
        """The distinct images, sorted by name."""
        return [path.read_bytes() for path in sorted(self.unique.iterdir())]

    def paths(self) -> list[str]:
        """All files of an epoch, sorted."""
        return [str(path) for path in sorted(self.files.glob("*.jpg"))]

    @property
    def ffcv(self) -> Path:
        """FFCV's one file."""
        return self.root / "images.beton"


@dataclass(frozen=True)
class Work:
    """One measurement: `threads` threads or worker processes on `cores`, batches of `batch` images."""

    root: str
    peer: str
    level: str
    output: str
    threads: int
    batch: int
    cores: tuple[int, ...]

    @property
    def folders(self) -> Folders:
        """Where the images are."""
        return Folders(Path(self.root))


class Adapter(Protocol):
    """A module of benchmarks.loader.peers; where it does not take part, the function is missing."""

    IMPORTS: Mapping[str, Sequence[str]]
    """Modules that a kernel or a loader needs; imported before any clock starts."""

    def kernel(self, work: Work) -> Iterator[int]:
        """Transform all distinct images per step, from memory; yields their number, for ever."""

    def loader(self, work: Work) -> Iterator[int]:
        """Make batches from page-cached storage; yields each one's size, for ever."""

    def crop(self, output: str, images: list[bytes], boxes: Boxes) -> Array:
        """The peer's own pixels for given boxes, [N, 3, SIZE, SIZE] of type `output`."""
