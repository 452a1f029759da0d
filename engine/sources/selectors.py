"""Selectors: how a caption, a score or a key is found among the fields of a sample.

txt                   the field (tar member's extension, column) `txt`
json:re_caption       the entry `re_caption` of the JSON field `json`; dots lead down (`json:meta.alt`)
syn.json:syn_text[0]  the first item of a list; `[1:]`, `[:3]`, `[-1]` as in Python
caption[1:]           a column or field with several values (a list, or several rows of one image)
txt|json:caption      the first alternative that the sample has
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from engine.errors import UserError

MISSING: Any = object()
_TERM = re.compile(r"(?P<field>[^:\[\]|]+)(?::(?P<path>[^\[\]|]+))?(?:\[(?P<index>-?\d*(?::-?\d*)?)\])?")


@dataclass(frozen=True)
class Term:
    """One alternative of a selector."""

    field: str
    path: tuple[str, ...] = ()
    index: int | slice | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by text: slices cannot be pickled before Python 3.14."""
        return parse_term, (str(self),)

    def __str__(self) -> str:
        """The term as `parse_term` reads it."""
        path = f":{'.'.join(self.path)}" if self.path else ""
        if self.index is None:
            return f"{self.field}{path}"
        if isinstance(self.index, int):
            return f"{self.field}{path}[{self.index}]"
        start, stop = ("" if end is None else end for end in (self.index.start, self.index.stop))
        return f"{self.field}{path}[{start}:{stop}]"

    def find(self, fields: Mapping[str, Any]) -> Any:
        """The value, a list where several are meant, or `MISSING`."""
        value = fields.get(self.field, MISSING)
        for step in self.path:
            value = value.get(step, MISSING) if isinstance(value, Mapping) else MISSING
        if value is MISSING or value is None or self.index is None:
            return MISSING if value is None else value
        values = value if isinstance(value, list) else [value]
        if isinstance(self.index, slice):
            return values[self.index]
        return values[self.index] if -len(values) <= self.index < len(values) else MISSING


@dataclass(frozen=True)
class Selector:
    """Alternatives, tried in order."""

    terms: tuple[Term, ...]

    def find(self, fields: Mapping[str, Any]) -> Any:
        """The first alternative that the sample has, or `MISSING`."""
        return next((value for term in self.terms if (value := term.find(fields)) is not MISSING), MISSING)

    @property
    def fields(self) -> frozenset[str]:
        """Fields that must be read for this selector."""
        return frozenset(term.field for term in self.terms)

    @property
    def json_fields(self) -> frozenset[str]:
        """Fields that are parsed as JSON."""
        return frozenset(term.field for term in self.terms if term.path)


def parse_term(text: str) -> Term:
    """Parse one alternative.

    Raises:
        UserError: not a selector.
    """
    match = _TERM.fullmatch(text)
    if not match or match["index"] == "":
        raise UserError(
            f"selector {text!r}: expected FIELD, FIELD:JSON.KEY, FIELD[0] or FIELD[1:], alternatives with |"
        )
    path = tuple(match["path"].split(".")) if match["path"] else ()
    return Term(match["field"], path, _parse_index(match["index"]))


def _parse_index(text: str | None) -> int | slice | None:
    if text is None:
        return None
    if ":" not in text:
        return int(text)
    start, stop = (int(end) if end else None for end in text.split(":"))
    return slice(start, stop)


def parse_selector(text: str) -> Selector:
    """Parse a selector; see the module's text for the syntax.

    Raises:
        UserError: not a selector.
    """
    return Selector(tuple(parse_term(term) for term in text.split("|")))
