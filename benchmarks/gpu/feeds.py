"""Our loader with any of the decoders."""

from __future__ import annotations

from typing import Any

from benchmarks.gpu.plan import NATIVE, TORCHVISION
from benchmarks.gpu.plugged import TorchvisionDecoder
from benchmarks.gpu.task import Task
from loaders.decoder import NativeDecoder
from loaders.loader import CaptionLoader, DataConfig, build_loader


def open_loader(task: Task, decoder: str, **options: Any) -> CaptionLoader:
    """A loader of the images that the task names; `options` are DataConfig's."""
    config = DataConfig(
        local=str(task.data.shards(task.choice["form"])),
        batch_size=task.settings.loader_batch,
        decoder=NATIVE if decoder == TORCHVISION else decoder,
        **options,
    )
    loader = build_loader(config)
    if decoder == TORCHVISION:
        native = loader.maker.decoder
        assert isinstance(native, NativeDecoder)
        loader.maker.decoder = TorchvisionDecoder(config.image(), task.settings.device, native)
    return loader
