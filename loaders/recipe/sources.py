"""Where a configuration comes from: a YAML file, then `key=value` words from the command line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from engine.errors import UserError


class _UniqueKeyLoader(yaml.SafeLoader):
    """SafeLoader that refuses a key given twice (plain YAML keeps the last one silently)."""


def _unique_mapping(loader: _UniqueKeyLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen = set()
    for key_node, _ in node.value:
        key = loader.construct_object(key_node)
        if key in seen:
            raise yaml.YAMLError(f"key {key!r} stands twice (line {key_node.start_mark.line + 1})")
        seen.add(key)
    loader.flatten_mapping(node)
    return loader.construct_mapping(node, deep=True)


_UniqueKeyLoader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _unique_mapping)


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Reads one YAML file whose top is a mapping.

    Raises:
        UserError: no such file, not YAML, or not a mapping.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: no such configuration file; the recipes are in yamls/")
    try:
        values = yaml.load(path.read_text(encoding="utf-8"), Loader=_UniqueKeyLoader)
    except yaml.YAMLError as error:
        raise UserError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(values, dict):
        raise UserError(f"{path}: expected a mapping of settings at the top, got {type(values).__name__}")
    return values


def apply_overrides(values: Mapping[str, Any], words: Sequence[str]) -> dict[str, Any]:
    """Returns `values` with each `a.b.c=value` laid over it; the value is read as YAML (`null`, `[1, 2]`,
    `{a: 1}`).

    A path merges into the mapping that is there; to replace a mapping as a whole, give it as one value:
    `data.policy.weights={vecap: 1}`.

    Raises:
        UserError: a word without `=`, or a value that is not YAML.
    """
    result: dict[str, Any] = _copy(values)
    for word in words:
        path, equals, text = word.partition("=")
        if not equals or not path or any(not part for part in path.split(".")):
            raise UserError(f"{word!r}: expected key=value, such as optimizer.lr=1e-3")
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise UserError(
                f"{path}: {text!r} is not a YAML value: {' '.join(str(error).split())}"
            ) from error
        _set(result, path.split("."), value)
    return result


def _set(target: dict[str, Any], parts: Sequence[str], value: Any) -> None:
    for part in parts[:-1]:
        if not isinstance(target.get(part), dict):
            target[part] = {}
        target = target[part]
    target[parts[-1]] = value


def _copy(value: Any) -> Any:
    return {k: _copy(v) for k, v in value.items()} if isinstance(value, Mapping) else value
