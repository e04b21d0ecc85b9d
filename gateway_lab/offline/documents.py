"""What changed between two documents, by the names of things."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

import msgspec
import polars as pl

from gateway_lab.config.gateway_config import GatewayConfig

_LEFT_OUT = {"tests", "expectations"}
_ABSENT = object()

_Leaf: TypeAlias = tuple[str, str, Any, Any]


def document_changes(old: GatewayConfig, new: GatewayConfig) -> pl.DataFrame:
    """List what was added, removed or changed: `path, change, old, new` (values as JSON).

    Routes are found by their names; that they stand in another order is a change of `routes`.
    """
    before, behind = _plain(old), _plain(new)
    rows = [
        (path, change, _text(one), _text(other))
        for path, change, one, other in _changes("", before, behind)
    ]
    schema = dict.fromkeys(("path", "change", "old", "new"), pl.String)
    return pl.DataFrame(rows, schema=schema, orient="row")


def _plain(config: GatewayConfig) -> Any:
    return config.model_dump(mode="json", by_alias=True, exclude=_LEFT_OUT, exclude_defaults=True)


def _text(value: Any) -> str | None:
    return None if value is _ABSENT else msgspec.json.encode(value).decode()


def _changes(path: str, old: Any, new: Any) -> Iterator[_Leaf]:
    one, other = _by_name(old), _by_name(new)
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        for name in dict.fromkeys([*one, *other]):
            inner = f"{path}.{name}" if path else str(name)
            yield from _changes(inner, one.get(name, _ABSENT), other.get(name, _ABSENT))
        if isinstance(old, list) and _is_reordered(list(one), list(other)):
            yield path, "reordered", list(one), list(other)
    elif old is _ABSENT:
        yield path, "added", old, new
    elif new is _ABSENT:
        yield path, "removed", old, new
    elif old != new:
        yield path, "changed", old, new


def _by_name(value: Any) -> Any:
    """Look at a list of named things as a mapping."""
    if isinstance(value, list) and all(isinstance(each, dict) and "name" in each for each in value):
        return {each["name"]: each for each in value}
    return value


def _is_reordered(old: list[str], new: list[str]) -> bool:
    return [name for name in old if name in new] != [name for name in new if name in old]
