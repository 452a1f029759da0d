"""Mappings into nested frozen dataclasses, strictly: no unknown key, no wrong type, no silent conversion.

The only conversions are int -> float (the same number), "1e-3" -> float (YAML 1.1 reads it as a string) and
list -> tuple (frozen dataclasses hold tuples).
"""

from __future__ import annotations

import collections.abc
import dataclasses
import re
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeVar, Union

from engine.errors import UserError
from engine.nearest import nearest

T = TypeVar("T")
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
SCALARS = (bool, int, float, str)


class SettingError(UserError):
    """A field's value that cannot be, from a dataclass that does not know where it stands; `build` does."""

    def __init__(self, field: str, message: str) -> None:
        """Take the field, as a path from the dataclass on."""
        super().__init__(f"{field}: {message}")


def build(cls: type[T], values: object, path: str = "") -> T:
    """Turns a mapping into the dataclass `cls`.

    Args:
        cls: a dataclass; nested dataclasses, Optional, Union, Literal, tuple[X, ...], Sequence[X] and
            Mapping[str, X]
            are followed.
        values: what YAML gave.
        path: where `values` stands, for messages ("" at the top).

    Raises:
        UserError: unknown or missing key, or a value of the wrong type; names the path, the value and what
            fits.
    """
    if not isinstance(values, Mapping):
        raise UserError(f"{path or 'config'}: expected a mapping, got {_show(values)}")
    hints = typing.get_type_hints(cls)
    fields = {f.name: f for f in dataclasses.fields(cls) if f.init}  # type: ignore[arg-type]
    for key in values:
        if key not in fields:
            hint = nearest(str(key), list(fields), f"; known here: {', '.join(fields)}")
            raise UserError(f"{_join(path, str(key))}: unknown key{hint}")
    given = {key: convert(hints[key], value, _join(path, key)) for key, value in values.items()}
    for name, field in fields.items():
        if name not in given and _required(field):
            raise UserError(f"{_join(path, name)}: missing; expected {describe(hints[name])}")
    try:
        return cls(**given)
    except SettingError as error:
        raise UserError(_join(path, str(error))) from error
    except (ValueError, TypeError) as error:
        raise UserError(f"{path or 'config'}: {error}") from error


def convert(kind: Any, value: object, path: str) -> Any:
    """Checks `value` against the type `kind` and returns it in the form the dataclass holds."""
    if kind is Any or kind is object:
        return value
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (Union, types.UnionType):
        return _convert_union(arguments, value, path)
    if origin is Literal:
        if value in arguments:
            return value
    elif dataclasses.is_dataclass(kind):
        return build(typing.cast(type, kind), value, path)
    elif origin is not None:
        return _convert_container(kind, value, path)
    elif kind in SCALARS or kind is type(None):
        return _convert_scalar(kind, value, path)
    raise _wrong(kind, value, path)


def _convert_union(options: Sequence[Any], value: object, path: str) -> Any:
    """The first option that fits; a mapping's own error is kept, since it names the very key."""
    if value is None and type(None) in options:
        return None
    nested = [o for o in options if dataclasses.is_dataclass(o)]
    if isinstance(value, Mapping) and len(nested) == 1:
        return build(typing.cast(type, nested[0]), value, path)
    for option in options:
        try:
            return convert(option, value, path)
        except UserError:
            continue
    raise UserError(f"{path}: expected {_any_of(options)}, got {_show(value)}")


def _convert_container(kind: Any, value: object, path: str) -> Any:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (dict, collections.abc.Mapping):
        if isinstance(value, Mapping):
            return {str(k): convert(arguments[1], v, _join(path, str(k))) for k, v in value.items()}
    elif isinstance(value, (list, tuple)):
        if origin in (list, collections.abc.Sequence) or arguments[-1] is Ellipsis:
            items = tuple(convert(arguments[0], v, f"{path}[{i}]") for i, v in enumerate(value))
            return list(items) if origin is list else items
        if len(arguments) == len(value):
            return tuple(
                convert(a, v, f"{path}[{i}]") for i, (a, v) in enumerate(zip(arguments, value, strict=True))
            )
    raise _wrong(kind, value, path)


def _convert_scalar(kind: Any, value: object, path: str) -> Any:
    if kind is float and not isinstance(value, bool):
        if isinstance(value, (int, float)):
            return float(value)
        if isinstance(value, str) and NUMBER.fullmatch(value):
            return float(value)
    elif type(value) is kind:
        return value
    raise _wrong(kind, value, path)


def describe(kind: Any) -> str:
    """A type as a reader of YAML knows it: "number", "true or false", "one of a, b"."""
    names = {
        bool: "true or false", int: "a whole number", float: "a number", str: "a string", type(None): "null",
    }  # fmt: skip
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind in names:
        return names[kind]
    if origin in (Union, types.UnionType):
        return _any_of(arguments)
    if origin is Literal:
        return "one of " + ", ".join(str(a) for a in arguments)
    if dataclasses.is_dataclass(kind):
        return "a mapping with " + ", ".join(f.name for f in dataclasses.fields(kind))
    if origin in (dict, collections.abc.Mapping):
        return f"a mapping of names to {describe(arguments[1])}"
    if arguments and arguments[-1] is not Ellipsis and origin is tuple:
        return f"a list of {len(arguments)} values"
    return f"a list of {describe(arguments[0])}" if arguments else str(kind)


def _any_of(options: Sequence[Any]) -> str:
    return " or ".join(describe(o) for o in options)


def to_plain(value: Any) -> Any:
    """A built config back into dicts, lists and scalars, ready for YAML; every default is written out."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_plain(getattr(value, f.name)) for f in dataclasses.fields(value) if f.init}
    if isinstance(value, Mapping):
        return {str(k): to_plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_plain(v) for v in value]
    return value


def _required(field: Any) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _wrong(kind: Any, value: object, path: str) -> UserError:
    return UserError(f"{path}: expected {describe(kind)}, got {_show(value)}")


def _show(value: object) -> str:
    return f"{type(value).__name__} {value!r}" if value is not None else "null"


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key
