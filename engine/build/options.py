"""What decides the bytes of a dataset; how it is computed (workers, executor, budget) is not in here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from engine.captions.selection import Selection
from engine.sources import SourceOptions

DEFAULT_SIZE_LIMIT = 64 << 20  # what Streaming's users know as "64mb"; a shard is one download


@dataclass(frozen=True)
class ImageOptions:
    """What happens to the image files; the fields are those of `engine.native.PrepareOptions` and `Limits`.

    Attributes:
        check: `full` decodes every image, `header` reads its header only.
        resize_shorter: pixels of the shorter side that larger images are reduced to; 0 keeps all as they are.
        quality: JPEG quality of what is encoded again.
        subsampling: chroma subsampling of what is encoded again: `420`, `422` or `444`.
        lossless_clean: progressive JPEG to baseline and metadata removed, pixels unchanged.
        max_pixels: of one image, from its header.
        max_side: pixels of one side. (The limit in bytes is the source's: larger files are not even read.)
    """

    check: Literal["full", "header"] = "full"
    resize_shorter: int = 0
    quality: int = 90
    subsampling: Literal["420", "422", "444"] = "420"
    lossless_clean: bool = False
    max_pixels: int = 64_000_000
    max_side: int = 16_384


@dataclass(frozen=True)
class PackOptions:
    """How shards are cut and written, see `engine.shards.mds_writer.MdsWriter`."""

    size_limit: int = DEFAULT_SIZE_LIMIT
    hashes: tuple[str, ...] = ("xxh3_64",)
    compression: str | None = None


@dataclass(frozen=True)
class BuildOptions:
    """Everything that a build's bytes follow from, apart from the input itself.

    Attributes:
        source: the input.
        tokenizer, context_length: of the captions' token ids.
        image: what happens to the image files.
        pack: how shards are cut.
        ledgers: folders with further captions and with scores.
        scorer: the model whose scores count, where ledgers have those of several.
        selection: what is left out by its scores.
    """

    source: SourceOptions
    tokenizer: str = "clip"
    context_length: int | None = None
    image: ImageOptions = field(default_factory=ImageOptions)
    pack: PackOptions = field(default_factory=PackOptions)
    ledgers: tuple[str, ...] = ()
    scorer: str | None = None
    selection: Selection = field(default_factory=Selection)

    def to_json(self) -> dict[str, Any]:
        """As `dataset.json` has them: plain JSON values, equal after a round trip through a file."""
        plain: dict[str, Any] = _plain(asdict(self))
        return plain


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value
