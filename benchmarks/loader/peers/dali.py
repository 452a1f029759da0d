"""DALI on the CPU: region decode, antialiased cubic resize, fused normalisation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from benchmarks.loader.work import MEAN, RATIO, SCALE, SIZE, STD, Array, Boxes, Work

BATCH = 32
IMPORTS = {"kernel": ("nvidia.dali.fn",), "loader": ("nvidia.dali.fn", "nvidia.dali.plugin.pytorch")}


def _finish(images: Any) -> Any:
    from nvidia.dali import fn, types

    resized = fn.resize(images, size=[SIZE, SIZE], interp_type=types.INTERP_CUBIC, antialias=True)
    return fn.crop_mirror_normalize(
        resized,
        dtype=types.FLOAT,
        output_layout="CHW",
        mean=[255 * value for value in MEAN],
        std=[255 * value for value in STD],
    )


def _random_crop(encoded: Any) -> Any:
    from nvidia.dali import fn, types

    return fn.decoders.image_random_crop(
        encoded, output_type=types.RGB, random_area=SCALE, random_aspect_ratio=RATIO
    )


def _pipeline(define: Callable[[], Any], batch: int, threads: int, ahead: bool) -> Any:
    from nvidia.dali import pipeline_def

    made = pipeline_def(
        define,
        batch_size=batch,
        num_threads=threads,
        device_id=None,
        exec_async=ahead,
        exec_pipelined=ahead,
        prefetch_queue_depth=2 if ahead else 1,
    )()
    made.build()
    return made


def kernel(work: Work) -> Iterator[int]:
    """A synchronous pipeline over bytes in memory, one batch a run."""
    from nvidia.dali import fn

    images = [np.frombuffer(data, np.uint8) for data in work.folders.images()]
    batches = [images[at : at + BATCH] for at in range(0, len(images), BATCH)]

    def define() -> Any:
        return _finish(_random_crop(fn.external_source(name="encoded")))

    pipe = _pipeline(define, BATCH, 1, ahead=False)
    while True:
        for batch in batches:
            pipe.feed_input("encoded", batch)
            pipe.run()
        yield len(images)


def loader(work: Work) -> Iterator[int]:
    """The file reader and DALI's iterator for torch."""
    from nvidia.dali import fn
    from nvidia.dali.plugin.base_iterator import LastBatchPolicy
    from nvidia.dali.plugin.pytorch import DALIGenericIterator

    paths = work.folders.paths()

    def define() -> Any:
        encoded, _ = fn.readers.file(files=paths, random_shuffle=True, name="files")
        return _finish(_random_crop(encoded))

    pipe = _pipeline(define, work.batch, work.threads, ahead=True)
    batches = DALIGenericIterator(
        pipe, ["image"], reader_name="files", last_batch_policy=LastBatchPolicy.DROP, auto_reset=True
    )
    while True:
        for batch in batches:
            yield len(batch[0]["image"])


def crop(output: str, images: list[bytes], boxes: Boxes) -> Array:
    """The same operators after a decoder that takes a given region."""
    from nvidia.dali import fn, types

    def define() -> Any:
        anchor, shape = fn.external_source(name="anchor"), fn.external_source(name="shape")
        encoded = fn.external_source(name="encoded")
        return _finish(
            fn.decoders.image_slice(
                encoded,
                anchor,
                shape,
                axis_names="WH",
                normalized_anchor=False,
                normalized_shape=False,
                output_type=types.RGB,
            )
        )

    pipe = _pipeline(define, len(images), 1, ahead=False)
    pipe.feed_input("encoded", [np.frombuffer(data, np.uint8) for data in images])
    pipe.feed_input("anchor", list(boxes[:, :2].astype(np.float32)))
    pipe.feed_input("shape", list(boxes[:, 2:].astype(np.float32)))
    array: Array = np.asarray(pipe.run()[0].as_tensor())
    return array
