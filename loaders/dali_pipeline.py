"""The DALI pipeline: encoded images and crop boxes in, a tensor of normalised pixels out, on CPU or GPU."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from engine.errors import UserError
from loaders.images import ImageOptions

# Runs under way at a time: while the GPU resizes one, the next is parsed.
DEPTH = 2


class SlicePipeline:
    """One DALI pipeline; everything is called from one thread.

    Cubic, antialiased, from the 8-bit image to 8 bits, as the exact transform does it; then one kernel
    normalises, casts and lays out.
    """

    def __init__(self, options: ImageOptions, threads: int, device: int | None, most: int) -> None:
        """Build it, for runs of up to `most` images, on CUDA device `device` (None: on the CPU)."""
        self._options, self._device = options, device
        nvidia = import_dali()
        self._pipe = nvidia.pipeline_def(
            lambda: _graph(options, device),
            batch_size=most,
            num_threads=threads,
            device_id=device,
            prefetch_queue_depth=DEPTH,
            exec_dynamic=True,
            exec_pipelined=False,  # so that each `schedule_run` is one run, the first too
        )()
        self._pipe.build()

    def schedule(self, images: Sequence[NDArray[np.uint8]], boxes: NDArray[np.int32]) -> None:
        """Begin a run over N files with crops int32 [N, 4]; `images` must stay until its `outputs`."""
        self._pipe.feed_input("encoded", images)
        self._pipe.feed_input("start", np.ascontiguousarray(boxes[:, :2]))
        self._pipe.feed_input("shape", np.ascontiguousarray(boxes[:, 2:]))
        self._pipe.schedule_run()

    def outputs(self) -> torch.Tensor:
        """Wait for the oldest run; return its pixels [N, 3, S, S], good until anything else is called.

        Raises:
            RuntimeError: from DALI, which then can do nothing more in this pipeline.
        """
        (pixels,) = self._pipe.outputs()
        dense = pixels.as_tensor()
        if self._device is None:
            tensor = torch.from_numpy(np.asarray(dense))
        else:
            # `outputs` has waited. Any stream named here would be made to wait for the runs that follow, too.
            tensor = torch.utils.dlpack.from_dlpack(dense.__dlpack__(stream=-1))
        return tensor.permute(0, 3, 1, 2) if self._options.channels_last else tensor


def import_dali() -> Any:
    """Return nvidia.dali.

    Raises:
        UserError: where it is not installed.
    """
    try:
        import nvidia.dali
    except ImportError as error:
        raise UserError(
            f"data.decoder: dali given, but nvidia-dali cannot be imported ({error}); install it "
            "(pip install 'veclip-engine[dali]'), or use decoder: native"
        ) from error
    return nvidia.dali


def _graph(options: ImageOptions, device: int | None) -> Any:
    from nvidia.dali import fn, types

    decode: Any = fn.decoders.image_slice
    # DALI 2 would turn a photograph by what its camera noted; the boxes are of what is stored.
    turns = "adjust_orientation" in inspect.signature(decode).parameters
    encoded = fn.external_source(name="encoded", dtype=types.UINT8, ndim=1, no_copy=True)
    start, shape = (fn.external_source(name=name, dtype=types.INT32, ndim=1) for name in ("start", "shape"))
    pixels = decode(
        encoded,
        start=start,
        shape=shape,
        axis_names="WH",
        device="cpu" if device is None else "mixed",
        output_type=types.RGB,
        jpeg_fancy_upsampling=True,  # what libjpeg does unless told otherwise, and so Pillow
        affine=False,  # ranks would be pinned to the same cores
        **({"adjust_orientation": False} if turns else {}),
    )
    small = fn.resize(pixels, size=[options.size] * 2, interp_type=types.INTERP_CUBIC, antialias=True)
    raw = options.dtype == "uint8"
    return fn.crop_mirror_normalize(
        small,
        dtype={"uint8": types.UINT8, "float16": types.FLOAT16}.get(options.dtype, types.FLOAT),
        output_layout="HWC" if options.channels_last else "CHW",
        mean=[0.0] if raw else [255 * value for value in options.mean],
        std=[1.0] if raw else [255 * value for value in options.std],
    )
