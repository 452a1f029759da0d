import enum
import os
from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Buffer

# One C-contiguous buffer (bytes, memoryview, array); arrays are named because NumPy's stubs for Python 3.10
# do not say that they are buffers.
ByteBuffer: TypeAlias = Buffer | NDArray[Any]
# What batch calls take: views into shards, or a sequence of such buffers.
ByteItems: TypeAlias = ColumnView | Sequence[ByteBuffer]
Path: TypeAlias = str | os.PathLike[str]

class Status(enum.IntEnum):
    OK = 0
    EMPTY = 1
    UNSUPPORTED_FORMAT = 2
    UNSUPPORTED_VARIANT = 3
    TRUNCATED = 4
    CORRUPT = 5
    FILE_TOO_LARGE = 6
    TOO_MANY_PIXELS = 7
    SIDE_TOO_LARGE = 8
    OUT_OF_MEMORY = 9
    BAD_ARGUMENT = 10
    IO_ERROR = 11
    BAD_SHARD = 12
    OUT_OF_RANGE = 13

class NativeError(RuntimeError):
    status: Status
    name: str

def status_sentence(status: Status) -> str: ...

class ThreadPool:
    def __init__(self, threads: int) -> None: ...
    @property
    def threads(self) -> int: ...

# decode
class Limits:
    def __init__(
        self, max_pixels: int = 64_000_000, max_side: int = 16_384, max_bytes: int = 33_554_432
    ) -> None: ...
    @property
    def max_pixels(self) -> int: ...
    @property
    def max_side(self) -> int: ...
    @property
    def max_bytes(self) -> int: ...

class ImageInfo:
    @property
    def format(self) -> str: ...
    @property
    def width(self) -> int: ...
    @property
    def height(self) -> int: ...
    @property
    def progressive(self) -> bool: ...

def probe(data: Buffer, limits: Limits = ...) -> ImageInfo: ...
def decode_rgb(data: Buffer, limits: Limits = ...) -> NDArray[np.uint8]: ...
def plain_jpegs(images: ByteItems, limits: Limits = ...) -> NDArray[np.int32]: ...

# prepare
class PrepareOptions:
    def __init__(
        self,
        *,
        check: Literal["full", "header"] = "full",
        resize_shorter: int = 0,
        quality: int = 90,
        subsampling: Literal["420", "422", "444"] = "420",
        lossless_clean: bool = False,
        limits: Limits = ...,
    ) -> None: ...

def prepare_images(
    images: ByteItems, options: PrepareOptions, pool: ThreadPool
) -> tuple[list[bytes | None], NDArray[np.uint8], NDArray[np.int32]]: ...

# spans
class ColumnView:
    def __init__(self, items: ByteItems) -> None: ...
    def __len__(self) -> int: ...
    def __getitem__(self, index: int) -> bytes: ...
    def views(self) -> list[NDArray[np.uint8]]: ...
    def concat(self) -> tuple[NDArray[np.uint8], NDArray[np.int64]]: ...
    def arrays(self, element_bytes: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]: ...

# hash
def xxh3_64(data: ByteBuffer) -> int: ...
def hash_bytes(data: ByteBuffer, algorithm: str) -> str: ...
def hash_file(path: Path, algorithm: str) -> str: ...
def key_hashes(keys: ByteItems) -> NDArray[np.uint64]: ...
def sample_hashes(columns: Sequence[ByteItems]) -> NDArray[np.uint64]: ...

# mds
class MdsShard:
    def __init__(
        self,
        path: Path,
        column_names: Sequence[str],
        column_sizes: Sequence[int | None],
        expected_bytes: int | None = None,
    ) -> None: ...
    @staticmethod
    def from_bytes(
        data: bytes, column_names: Sequence[str], column_sizes: Sequence[int | None], label: str
    ) -> MdsShard: ...
    @property
    def samples(self) -> int: ...
    @property
    def path(self) -> str: ...
    @property
    def nbytes(self) -> int: ...
    @property
    def config(self) -> bytes: ...
    def __len__(self) -> int: ...
    def values(self, index: int) -> list[bytes]: ...
    def check(self) -> None: ...

class SampleBatch:
    @property
    def column_names(self) -> list[str]: ...
    @property
    def nbytes(self) -> int: ...
    def __len__(self) -> int: ...
    def column(self, name: str) -> ColumnView: ...

def gather(shards: Sequence[MdsShard], which: NDArray[np.int32], index: NDArray[np.int32]) -> SampleBatch: ...

# pack
class ShardPacker:
    def __init__(
        self, column_names: Sequence[str], column_sizes: Sequence[int | None], config: bytes, size_limit: int
    ) -> None: ...
    def append(self, values: Sequence[ByteItems], first: int = 0) -> int: ...
    def hash(self, algorithm: str) -> str: ...
    def feed(self, consume: Callable[[memoryview], object]) -> None: ...
    def to_bytes(self) -> bytes: ...
    def commit(self, path: Path) -> None: ...
    def reset(self) -> None: ...
    @property
    def samples(self) -> int: ...
    @property
    def nbytes(self) -> int: ...

def commit_file(path: Path, data: ByteBuffer | list[ByteBuffer]) -> None: ...
def resize_rgb(
    image: NDArray[np.uint8], width: int, height: int, pass_order: str = "pillow11"
) -> NDArray[np.uint8]: ...
def set_simd(name: str) -> None: ...
def set_jpeg(name: Literal["auto", "own", "library"]) -> None: ...
def simd_names() -> list[str]: ...
def philox4x32(counter: NDArray[np.uint32], key: NDArray[np.uint32]) -> NDArray[np.uint32]: ...
def crop_boxes(
    widths: NDArray[np.int32],
    heights: NDArray[np.int32],
    key_hash: NDArray[np.uint64],
    *,
    seed: int,
    epoch: int,
    scale: tuple[float, float] = (0.9, 1.0),
    ratio: tuple[float, float] = (3 / 4, 4 / 3),
) -> NDArray[np.int32]: ...

# transform
Pixels = NDArray[np.uint8] | NDArray[np.float32] | NDArray[np.uint16]
Triple = tuple[float, float, float]

def train_batch(
    images: ByteItems,
    boxes: NDArray[np.int32],
    out: Pixels,
    pool: ThreadPool,
    *,
    dtype: str = "uint8",
    layout: str = "nchw",
    mean: Triple = ...,
    std: Triple = ...,
    pass_order: str = "pillow11",
    limits: Limits = ...,
    transform: str = "exact",
) -> NDArray[np.uint8]: ...
def eval_batch(
    images: ByteItems,
    out: Pixels,
    pool: ThreadPool,
    *,
    dtype: str = "uint8",
    layout: str = "nchw",
    mean: Triple = ...,
    std: Triple = ...,
    pass_order: str = "pillow11",
    limits: Limits = ...,
    fit: str = "torchvision",
    shorter: int = 0,
    filter: str = "bicubic",
) -> NDArray[np.uint8]: ...
