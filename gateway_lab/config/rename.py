"""Renames: a thing gets another name, and so does everything that refers to it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from gateway_lab.config.document import Document
from gateway_lab.config.edit import require_name, require_route_name
from gateway_lab.config.language import texts
from gateway_lab.config.settings_used import rename_setting_in

C = TypeVar("C", bound=Document)


def rename_part(config: C, table: str, name: str, new: str) -> C:
    """Rename a router, target, source or setting everywhere.

    A text that a rule compares with, such as `message.source = 'orders'`, stays as it is; `check`
    tells where it can no longer occur.
    """
    require_name(config, table, name, new)
    document = config.model_dump(mode="json", exclude_unset=True)
    document[table] = _with_key(document[table], name, new)
    _FOLLOW[table](document, name, new)
    return _replaced(config, document)


def rename_route(config: C, router: str, name: str, new: str) -> C:
    """Rename a route, also in tests."""
    require_route_name(config, router, name, new)
    document = config.model_dump(mode="json", exclude_unset=True)
    for route in document["routers"][router]["routes"]:
        if route["name"] == name:
            route["name"] = new
    elsewhere = any(
        route["name"] == name
        for each in document["routers"].values()
        for route in each.get("routes", ())
    )
    for expected in _expected(document):
        named = expected.get("router")
        if expected.get("route") == name and (named == router or (not named and not elsewhere)):
            expected["route"] = new
    return _replaced(config, document)


def _replaced(config: C, document: dict[str, Any]) -> C:
    renamed = type(config).model_validate(document, by_alias=True, by_name=False)
    return config.with_parts(**{each: getattr(renamed, each) for each in renamed.model_fields_set})


def _with_key(table: dict[str, Any], name: str, new: str) -> dict[str, Any]:
    return {new if key == name else key: value for key, value in table.items()}


def _expected(document: dict[str, Any]) -> list[dict[str, Any]]:
    tests = document.get("tests", ())
    return [each for test in tests for each in test.get("expect", ()) if isinstance(each, dict)]


def _follow_key(holder: dict[str, Any], key: str, name: str, new: str) -> None:
    """Rename what a key names, alone or in a list; a key that is not there stays away."""
    value = holder.get(key)
    if isinstance(value, list):
        holder[key] = [new if each == name else each for each in value]
    elif value == name:
        holder[key] = new


def _follow_target(document: dict[str, Any], name: str, new: str) -> None:
    for router in document.get("routers", {}).values():
        _follow_key(router, "unmatched", name, new)
        for route in router.get("routes", ()):
            _follow_key(route, "to", name, new)
    for batch in document.get("batches", {}).values():
        _follow_key(batch, "to", name, new)
    for test in document.get("tests", ()):
        _follow_key(test, "expect", name, new)
    for expected in _expected(document):
        _follow_key(expected, "target", name, new)
    _follow_in_expectations(document, "targets", name, new)


def _follow_source(document: dict[str, Any], name: str, new: str) -> None:
    parts = (*document.get("routers", {}).values(), *document.get("batches", {}).values())
    for each in (*parts, *document.get("tests", ())):
        _follow_key(each, "source", name, new)


def _follow_router(document: dict[str, Any], name: str, new: str) -> None:
    for expected in _expected(document):
        _follow_key(expected, "router", name, new)
    _follow_in_expectations(document, "routers", name, new)


def _follow_in_expectations(document: dict[str, Any], table: str, name: str, new: str) -> None:
    expectations = document.get("expectations") or {}
    if table in expectations:
        expectations[table] = _with_key(expectations[table], name, new)


def _follow_setting(document: dict[str, Any], name: str, new: str) -> None:
    for path, text in list(texts(document)):
        holder: Any = document
        for step in path[:-1]:
            holder = holder[step]
        holder[path[-1]] = rename_setting_in(path, text, name, new)


_FOLLOW: dict[str, Callable[[dict[str, Any], str, str], None]] = {
    "targets": _follow_target,
    "sources": _follow_source,
    "routers": _follow_router,
    "settings": _follow_setting,
}
