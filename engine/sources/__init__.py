"""Where samples come from: every format becomes the same stream of records and rejects."""

from engine.sources.base import Source, Unit
from engine.sources.options import SourceOptions

__all__ = ["Source", "SourceOptions", "Unit", "open_source"]


def open_source(options: SourceOptions) -> Source:
    """Look at the inputs and open them.

    Raises:
        UserError: nothing found, an unknown format, or columns that cannot be told apart.
    """
    from engine.sources.open import open_inputs  # loads pyarrow, which no --help needs

    return open_inputs(options)
