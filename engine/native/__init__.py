"""The typed Python face of the C++ core; no logic lives here."""

from engine.native._core import (
    ColumnView,
    MdsShard,
    NativeError,
    SampleBatch,
    ShardPacker,
    Status,
    ThreadPool,
    commit_file,
    gather,
    hash_bytes,
    hash_file,
    key_hashes,
    sample_hashes,
    status_sentence,
    xxh3_64,
)

__all__ = [
    "ColumnView",
    "MdsShard",
    "NativeError",
    "SampleBatch",
    "ShardPacker",
    "Status",
    "ThreadPool",
    "commit_file",
    "gather",
    "hash_bytes",
    "hash_file",
    "key_hashes",
    "sample_hashes",
    "status_sentence",
    "xxh3_64",
]
