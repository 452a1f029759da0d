"""SPDL: FFmpeg decodes, crops and scales in threads; uint8 out, as it leaves normalisation to the device."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.loader.work import RATIO, SCALE, SIZE, Array, Boxes, Work

IMPORTS = {"kernel": ("spdl.io",), "loader": ("spdl.io", "spdl.pipeline", "torch")}


def _filter(box: list[int]) -> str:
    left, top, width, height = box
    return (
        f"crop={width}:{height}:{left}:{top}:exact=1,scale={SIZE}:{SIZE}:flags=bicubic,format=pix_fmts=rgb24"
    )


def _decode(source: str | bytes, box: list[int]) -> Any:
    import spdl.io

    return spdl.io.decode_packets(spdl.io.demux_image(source), filter_desc=_filter(box))


def _sizes(images: list[bytes]) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    from engine.native import probe

    infos = [probe(data) for data in images]
    return np.array([i.width for i in infos], np.int32), np.array([i.height for i in infos], np.int32)


def _boxes(sizes: tuple[Any, Any], epoch: int) -> list[list[int]]:
    """Drawn for a whole epoch at once by our own native call: SPDL has no RandomResizedCrop."""
    from engine.native import crop_boxes

    hashes = np.arange(len(sizes[0]), dtype=np.uint64)
    boxes: list[list[int]] = crop_boxes(
        *sizes, hashes, seed=0, epoch=epoch, scale=SCALE, ratio=RATIO
    ).tolist()
    return boxes


def kernel(work: Work) -> Iterator[int]:
    """Image by image, on the calling thread."""
    images = work.folders.images()
    sizes = _sizes(images)
    for epoch in itertools.count():
        for data, box in zip(images, _boxes(sizes, epoch), strict=True):
            _to_array([_decode(data, box)])
        yield len(images)


def _to_array(frames: list[Any]) -> Any:
    import spdl.io

    return spdl.io.to_numpy(spdl.io.convert_frames(frames))


def loader(work: Work) -> Iterator[int]:
    """A pipeline with as many decoding threads as asked for; sizes are known, as in our shards."""
    import spdl.io
    from spdl.pipeline import PipelineBuilder

    paths = work.folders.paths()
    sizes = _sizes([Path(path).read_bytes() for path in paths])

    def samples() -> Iterator[tuple[str, list[int]]]:
        for epoch in itertools.count():
            boxes = _boxes(sizes, epoch)
            for at in np.random.default_rng(epoch).permutation(len(paths)):
                yield paths[at], boxes[at]

    def to_torch(frames: list[Any]) -> Any:
        return spdl.io.to_torch(spdl.io.convert_frames(frames))

    pipeline = (
        PipelineBuilder()
        .add_source(samples())
        .pipe(lambda sample: _decode(*sample), concurrency=work.threads)
        .aggregate(work.batch)
        .pipe(to_torch)
        .add_sink(2)
        .build(num_threads=work.threads)
    )
    with pipeline.auto_stop():
        for batch in pipeline:
            yield len(batch)


def crop(output: str, images: list[bytes], boxes: Boxes) -> Array:
    """The same filters with given boxes."""
    frames = [_decode(data, box) for data, box in zip(images, boxes.tolist(), strict=True)]
    array: Array = np.ascontiguousarray(_to_array(frames).transpose(0, 3, 1, 2))
    return array
