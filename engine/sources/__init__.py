"""Where samples come from: every format becomes the same stream of records and rejects."""

from engine.sources.base import Source, Unit
from engine.sources.open import open_source
from engine.sources.options import SourceOptions

__all__ = ["Source", "SourceOptions", "Unit", "open_source"]
