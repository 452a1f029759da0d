"""The peers: what each needs, where it takes part, and the module that drives it."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass

BENCH = "pip install 'veclip-engine[bench]'"
FLOAT, BOTH = ("float32",), ("uint8", "float32")


@dataclass(frozen=True)
class Peer:
    """A row of the table: outputs it gives at each level; () where it does not take part."""

    name: str
    title: str
    module: str
    needs: tuple[str, ...] = ()
    install: str = BENCH
    kernel: tuple[str, ...] = ()
    loader: tuple[str, ...] = ()

    def missing(self) -> str | None:
        """The first package that is not installed."""
        return next((name for name in self.needs if not _is_installed(name)), None)

    def outputs(self, level: str) -> tuple[str, ...]:
        """Element types at "kernel" or "loader" level."""
        return self.kernel if level == "kernel" else self.loader


OURS = Peer("ours", "this loader", "ours", kernel=BOTH, loader=BOTH)
PEERS = (
    Peer("open_clip", "open_clip (PIL)", "open_clip_pil", ("open_clip",), kernel=FLOAT, loader=FLOAT),
    Peer("torchvision", "torchvision v2", "torchvision_v2", ("torchvision",), kernel=BOTH, loader=BOTH),
    Peer("mosaicml", "MosaicML + PIL", "mosaic", ("streaming", "open_clip"), loader=FLOAT),
    Peer("webdataset", "WebDataset + PIL", "web", ("webdataset", "open_clip"), loader=FLOAT),
    Peer("litdata", "LitData + v2", "lit", ("litdata", "torchvision"), loader=BOTH),
    Peer("dali", "DALI, CPU", "dali", ("nvidia.dali",), kernel=FLOAT, loader=FLOAT),
    Peer("spdl", "SPDL", "spdl_ffmpeg", ("spdl.io",), kernel=("uint8",), loader=("uint8",)),
    Peer(
        "ffcv",
        "FFCV",
        "ffcv_beton",
        ("ffcv",),
        "pip install ffcv numba, see docs/results/loader.md",
        loader=("uint8",),
    ),
    Peer("our_kernel", "our kernel alone", "our_kernel", loader=BOTH),
    Peer("ours_1_thread", "this loader, 1 thread", "ours_single", loader=BOTH),
)
BY_NAME = {peer.name: peer for peer in (OURS, *PEERS)}


def _is_installed(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:  # of the package above it
        return False
