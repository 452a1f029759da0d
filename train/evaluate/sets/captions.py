"""Which columns of a table hold captions."""

from __future__ import annotations

import re
from collections.abc import Sequence

from engine.errors import UserError
from engine.sources import SourceOptions
from engine.sources.columns import CAPTION_COLUMNS, table_captions
from train.evaluate.sets.records import Fields

_NUMBERED = re.compile(r"(?P<name>.*?)[_ ]?(?P<number>\d{1,2})")
JSON_COLUMN = "raw"  # Karpathy's sentences in tables on the Hub: a JSON list of texts


def caption_fields(path: str, columns: Sequence[str]) -> Fields:
    """One column, several numbered ones (`caption_0` ... `caption_4`), or one a caption source.

    Raises:
        UserError: none.
    """
    found = table_captions(path, columns, SourceOptions((), without_captions=True))
    if found:
        return Fields(found)
    numbered = numbered_captions(columns)
    if numbered:
        return Fields({"alttext": numbered[0]}, joined=numbered)
    if JSON_COLUMN in columns:
        return Fields({"alttext": JSON_COLUMN}, json=True)
    raise UserError(
        f"{path}: no column with captions among {', '.join(columns)}; expected caption, sentence, text, ... "
        "or the same numbered"
    )


def numbered_captions(columns: Sequence[str]) -> tuple[str, ...]:
    """Columns that are called as captions are, with a number behind, in the order of the numbers."""
    matches = [(_NUMBERED.fullmatch(name), name) for name in columns]
    found = [
        (int(match["number"]), name) for match, name in matches if match and match["name"] in CAPTION_COLUMNS
    ]
    return tuple(name for _, name in sorted(found))
