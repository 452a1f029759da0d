"""Images a second of a decoder alone: bytes and boxes are ready, nothing is streamed, shuffled or tokenised.

Needs no Streaming, and so measures decoders where the loader cannot be imported.
"""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.gpu.pixels import compare
from benchmarks.gpu.plan import DALI, NATIVE
from benchmarks.gpu.plugged import TorchvisionDecoder
from benchmarks.gpu.task import Task
from benchmarks.gpu.turn import measure_turn, to_device
from engine.native import ColumnView, Limits, SampleBatch, crop_boxes, gather, key_hashes
from engine.shards.reader import open_dataset
from loaders.columns import decode_int32
from loaders.counters import Counters
from loaders.decoder import Decoder, NativeDecoder, Work
from loaders.images import ImageOptions

UNDER_WAY = 2
"""Batches, as in the loader."""


def measure(task: Task) -> dict[str, Any]:
    """One turn, and the pixels of the first batch beside native ones."""
    choice, settings = task.choice, task.settings
    options = ImageOptions(dtype=choice["dtype"])
    began = time.perf_counter()
    batches = list(_batches(task.data.shards(choice["form"]), settings.loader_batch, options))
    decoder = _decoder(choice["decoder"], options, choice["threads"], settings.device)
    turn = measure_turn(_stream(decoder, batches, settings.device), settings.seconds, began)
    decoder.drop()
    return {**turn, **_beside_native(decoder, batches[0], options)}


def _decoder(name: str, options: ImageOptions, threads: int, device: str) -> Decoder:
    counters = Counters()
    native = NativeDecoder(options, threads, counters)
    if name == NATIVE:
        return native
    if name == DALI:
        from loaders.dali import DaliDecoder

        return DaliDecoder(options, threads, native, counters)
    return TorchvisionDecoder(options, device, native)


def _batches(folder: Path, size: int, options: ImageOptions) -> Iterator[Work]:
    """Whole batches of each shard, in order; `out` is given when they are started."""
    dataset = open_dataset(folder)
    for number in range(len(dataset.entries)):
        shard = dataset.shard(number)
        for at in range(0, shard.samples - size + 1, size):
            index = np.arange(at, at + size, dtype=np.int32)
            yield _work(gather([shard], np.zeros_like(index), index), options)


def _work(samples: SampleBatch, options: ImageOptions) -> Work:
    images: ColumnView = samples.column("image")
    width, height = (decode_int32(samples.column(name).concat()[0]) for name in ("width", "height"))
    keys = key_hashes(samples.column("key"))
    boxes = crop_boxes(width, height, keys, seed=0, epoch=0, scale=options.scale, ratio=options.ratio)
    return Work(images, boxes, np.stack([width, height], axis=1), Limits(), torch.empty(0))


def _stream(decoder: Decoder, batches: list[Work], device: str) -> Iterator[int]:
    under_way: deque[tuple[Any, torch.Tensor]] = deque()
    for work in itertools.cycle(batches):
        out = decoder.empty(len(work.boxes))
        under_way.append((decoder.start(work._replace(out=out)), out))
        if len(under_way) == UNDER_WAY:
            pending, out = under_way.popleft()
            failed = np.count_nonzero(pending.finish())
            if failed:
                raise RuntimeError(f"{failed} of {len(out)} images of a batch do not decode")
            yield to_device(out, device)


def _beside_native(decoder: Decoder, work: Work, options: ImageOptions) -> dict[str, Any]:
    if options.dtype != "uint8":
        return {}
    outs = []
    for each in (decoder, NativeDecoder(options, 1, Counters())):
        out = each.empty(len(work.boxes))
        each.start(work._replace(out=out)).finish()
        outs.append(out.cpu().numpy())
    found = compare(*outs)
    return {name: found[name] for name in ("max_diff", "psnr_min", "psnr_mean")}
